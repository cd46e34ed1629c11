"""Receivers of pages as the tests need them: a real HTTP server and a real SMTP server, and clumsy ones."""

import email
import email.policy
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session


@dataclass(frozen=True)
class Posted:
    """One request that a receiver got."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HttpReceiver:
    """What an HTTP server got, in order; ``answer`` says with which status each request is answered."""

    url: str = ""
    posted: list[Posted] = field(default_factory=list)
    answer: Callable[[Posted], int] = lambda _: 204

    def header(self, name: str) -> list[str]:
        """The values of one header (in lower case) in every request."""
        return [one.headers[name] for one in self.posted]


@contextmanager
def http_receiver(answer: Callable[[Posted], int] = lambda _: 204) -> Iterator[HttpReceiver]:
    """A real HTTP server on a free port while the block lasts."""
    receiver = HttpReceiver(answer=answer)

    class Take(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            posted = Posted(self.path, headers, body)
            receiver.posted.append(posted)
            self.send_response(receiver.answer(posted))
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Be quiet."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Take)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class Mailbox:
    """The mails that an SMTP server accepted, and how it is reached."""

    port: int = 0
    mails: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        """As Apprise wants it."""
        return f"mailto://127.0.0.1:{self.port}?from=lab@shop.test&to=everybody@shop.test&mode=insecure"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail, as aiosmtpd hands it over."""
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 taken"


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """A real SMTP server on a free port while the block lasts."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as probe:
        box.port = probe.getsockname()[1]
    controller = Controller(box, hostname="127.0.0.1", port=box.port)
    controller.start()
    try:
        yield box
    finally:
        controller.stop()


@contextmanager
def hung_receiver() -> Iterator[str]:
    """``host:port`` of a server that accepts connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=256) as silent:
        yield f"127.0.0.1:{silent.getsockname()[1]}"
