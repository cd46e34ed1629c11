"""Mail and chat through Apprise: one receiver for each URL of ``NOTIFY_URLS``.

``mailto://`` and ``mailtos://`` serve the channel ``email``, all others ``chat``.
A recipient that is a mail address is written to; for any other the URL's own
address stands. The delivery's id is the last line of the text, and in mail also
the header ``X-Firedrill-Delivery``.
"""

import asyncio
import hashlib
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit, urlunsplit

from services.notification.page import NotDelivered, Page

if TYPE_CHECKING:
    from apprise import NotifyBase

MAIL_SCHEMES = frozenset({"mailto", "mailtos"})
MAX_THREADS = 16
"""Sends under way at one receiver, those included that were given up but have not come back."""


class AppriseReceiver:
    """One Apprise URL; ``timeout_s`` bounds each wait of its socket."""

    def __init__(self, url: str, *, timeout_s: float) -> None:
        """Raises ``ValueError``, without the URL's secrets, when Apprise cannot make sense of it."""
        self.scheme = urlsplit(url).scheme.lower()
        self.name = f"{self.scheme}-{hashlib.sha256(url.encode()).hexdigest()[:12]}"
        self._url = url
        self._timeout_s = timeout_s
        self._threads = threading.BoundedSemaphore(MAX_THREADS)
        if _plugin(url) is None:
            raise ValueError(f"NOTIFY_URLS: Apprise does not know what to do with a URL {self.scheme}://…")

    async def deliver(self, page: Page) -> None:
        """Send it, in a thread: Apprise blocks. Raises ``NotDelivered`` when Apprise says no."""
        if not self._threads.acquire(blocking=False):
            raise NotDelivered(f"{self.name}: {MAX_THREADS} sends have not come back", is_down=True)
        done: Future[bool] = Future()
        # From here on it cannot be cancelled: the message may be out already.
        done.set_running_or_notify_cancel()
        # A thread of its own, not one of the pool's: a receiver that trickles may hold it for long.
        threading.Thread(target=self._send, args=(page, done), name=self.name, daemon=True).start()
        if not await asyncio.wrap_future(done):
            raise NotDelivered(f"{self.name}: not accepted", is_down=True)

    def _send(self, page: Page, done: "Future[bool]") -> None:
        try:
            done.set_result(self._notify(page))
        except Exception as error:  # noqa: BLE001 (it is handed to whoever waits, and any plugin may raise any)
            done.set_exception(NotDelivered(f"{self.name}: {type(error).__name__}: {error}", is_down=True))
        finally:
            self._threads.release()

    def _notify(self, page: Page) -> bool:
        from apprise import NotifyFormat

        # Made anew for each message: a plugin that is kept holds messages back to suit its own rate.
        plugin = _plugin(_addressed(self._url, page) if self.scheme in MAIL_SCHEMES else self._url)
        assert plugin is not None
        plugin.socket_connect_timeout = plugin.socket_read_timeout = self._timeout_s
        plugin.notify_format = NotifyFormat.TEXT
        # Not through Apprise.notify: its few shared threads would all wait for a receiver that hangs.
        return bool(plugin.notify(f"{page.message}\n\ndelivery {page.delivery_id}", title=page.title))


def _plugin(url: str) -> "NotifyBase | None":
    # Imported here: it takes 0.3 s and 30 MB, and most labs send no mail.
    from apprise import Apprise

    return Apprise.instantiate(url)


def _addressed(url: str, page: Page) -> str:
    """The mail URL with the delivery's id as a header, and the recipient if that is an address."""
    parts = urlsplit(url)
    wanted = [f"%2BX-Firedrill-Delivery={page.delivery_id}"]
    given = [field for field in parts.query.split("&") if field]
    if "@" in page.recipient:
        given = [field for field in given if not field.startswith("to=")]
        wanted.append(f"to={quote(page.recipient, safe='')}")
    return urlunsplit(parts._replace(query="&".join([*given, *wanted])))
