"""Bodies that are too big: refused at once when their length says so, otherwise as soon as they are.

And bodies that do not come: whoever began to send one may be gone.
"""

import asyncio

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common.errors import ServiceError

BODY_WAIT_S = 5.0
"""A body that has not come whole by then gives its room up."""


class TooSlow(ServiceError):
    """A body that has not come in all this time."""

    status = 408


async def whole_body(request: Request) -> bytes:
    """The body of a request. Raises ``TooSlow`` when it does not come within ``BODY_WAIT_S``."""
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            return await request.body()
    except TimeoutError as error:
        raise TooSlow(f"the body did not come within {BODY_WAIT_S:g} s") from error


class BodyLimit:
    """Answers 413 to a request whose body has more than ``max_body_bytes``.

    The framework's own limit stands outside the request's observer: its answer
    would be without ids and in plain text, and an error in the log.
    """

    def __init__(self, app: ASGIApp, *, max_body_bytes: int) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        detail = f"the body has more than {self._max_body_bytes} bytes"
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._max_body_bytes:
            await JSONResponse({"detail": detail}, 413)(scope, receive, send)
            return
        received_bytes = 0

        async def receive_limited() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > self._max_body_bytes:
                # Of all exceptions, only this one passes through the framework's reading of the body.
                raise HTTPException(413, detail)
            return message

        await self._app(scope, receive_limited, send)
