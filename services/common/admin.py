"""Who may use the lab's own routes: whoever has their bearer token, and nobody by guessing.

A route takes a gate as a dependency: ``dependencies=[Depends(TokenGate(token, name="admin"))]``.
"""

import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

import structlog
from fastapi import Request
from pydantic import SecretStr

from services.common.errors import Forbidden, TooManyRequests

log = structlog.get_logger()

BURST = 10
"""So many wrong tokens a client may send at once."""
REGAIN_S = 6.0
"""Seconds until it may send one more."""
MAX_CLIENTS = 1024
"""Clients whose guesses are remembered; the one that guessed longest ago is forgotten first."""


class TooManyGuesses(TooManyRequests):
    retry_after_s = int(REGAIN_S)


class Guesses:
    """Wrong tokens by client: a bucket that fills with each one and drains by one every ``REGAIN_S``."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._filled: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._filled)

    def are_used_up(self, client: str) -> bool:
        """Whether this client has to wait before its next guess."""
        return self._level(client) > BURST - 1

    def count(self, client: str) -> None:
        """Note down one more."""
        self._filled[client] = (self._level(client) + 1, self._clock())
        self._filled.move_to_end(client)
        if len(self._filled) > MAX_CLIENTS:
            self._filled.popitem(last=False)

    def _level(self, client: str) -> float:
        level, at = self._filled.get(client, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) / REGAIN_S)


class TokenGate:
    """A dependency that lets a request pass with the right bearer token; without a token set, any request.

    Raises ``Forbidden`` without the token or with a wrong one, and
    ``TooManyGuesses`` to a client that has sent too many wrong ones: to one on
    another machine also for the right one. One on this machine gets through
    with the right one always, or whoever shares it with the lab's own schedule
    could keep the schedule out.
    """

    def __init__(
        self, token: SecretStr | None, *, name: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._expected = token.get_secret_value().encode() if token else None
        self._name = name
        self._guesses = Guesses(clock=clock)

    async def __call__(self, request: Request) -> None:
        if self._expected is None:
            return
        client = request.client.host if request.client else ""
        offered = bearer_token(request)
        if offered is None:
            raise Forbidden(f"this needs the {self._name} token as a bearer token")
        is_right = secrets.compare_digest(offered, self._expected)
        must_wait = self._guesses.are_used_up(client)
        if is_right and (not must_wait or is_this_machine(client)):
            return
        if must_wait:
            raise TooManyGuesses(f"too many wrong {self._name} tokens: wait before the next")
        self._guesses.count(client)
        log.warning("token.refused", gate=self._name, client=client)
        raise Forbidden(f"this is not the {self._name} token")


def bearer_token(request: Request) -> bytes | None:
    """The bytes of the token as they came; ``None`` when there is none, or more than one."""
    given = [value for name, value in request.headers.raw if name == b"authorization"]
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(b" ")
    return token.strip() if scheme.lower() == b"bearer" else None


def is_this_machine(client: str) -> bool:
    """Whether the client's address is this machine's own."""
    try:
        return ipaddress.ip_address(client).is_loopback
    except ValueError:
        return False
