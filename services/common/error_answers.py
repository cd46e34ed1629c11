"""What becomes of an error that a route raises: the one place where the tree of errors meets HTTP."""

from collections.abc import Callable, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.types import Scope

from services.common import tracing
from services.common.errors import ServiceError
from services.common.observer import capture


def add_error_answers(app: FastAPI, *, is_hidden: Callable[[Scope], bool]) -> None:
    """Answer ``ServiceError`` and invalid input with ``{"detail": …}``.

    A 5xx is told to the span and to Sentry too, unless the request ``is_hidden``.
    """

    @app.exception_handler(ServiceError)
    async def service_error(request: Request, error: ServiceError) -> JSONResponse:
        is_quiet = request.url.path in tracing.QUIET_PATHS or is_hidden(request.scope)
        if error.status >= 500 and not is_quiet:
            capture(error)
        retry = {"retry-after": str(error.retry_after_s)} if error.retry_after_s else None
        return JSONResponse({"detail": error.detail}, error.status, headers=retry)

    @app.exception_handler(RequestValidationError)
    async def invalid_request(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse({"detail": _explain(error.errors())}, 422)

    @app.exception_handler(ValidationError)
    async def invalid_setting(_request: Request, error: ValidationError) -> JSONResponse:
        return JSONResponse({"detail": _explain(error.errors())}, 422)


def _explain(errors: Sequence[Any]) -> list[dict[str, Any]]:
    """What is wrong and where, without the input itself: it may not be representable in JSON."""
    return [
        {"loc": [str(part) for part in error["loc"]], "msg": error["msg"], "type": error["type"]}
        for error in errors
    ]
