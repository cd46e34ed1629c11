"""The errors of every service, each with the HTTP status that it becomes.

A service raises these (or its own subclasses) and never builds an error
response by hand: the app factory maps the tree to ``{"detail": …}`` once.
"""

from typing import Any

from pydantic import BaseModel


class ErrorBody(BaseModel):
    """The body of every error answer: a sentence, or a list of what is wrong with the input."""

    detail: str | list[Any]


class ServiceError(Exception):
    """An error with a status and a detail that the client may read."""

    status = 500
    retry_after_s: int | None = None
    """Sent as ``Retry-After`` when it is set."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


class BadRequest(ServiceError):
    status = 400


class PaymentRequired(ServiceError):
    status = 402


class Forbidden(ServiceError):
    status = 403


class NotFound(ServiceError):
    status = 404


class Conflict(ServiceError):
    status = 409


class Unprocessable(ServiceError):
    status = 422


class TooManyRequests(ServiceError):
    """More at once than this service has room for."""

    status = 429
    retry_after_s = 1


class UpstreamFailed(ServiceError):
    """Something that this service calls answered 5xx or nonsense; the status says which."""

    def __init__(self, detail: str, *, status: int = 502) -> None:
        super().__init__(detail)
        self.status = status


class Unavailable(ServiceError):
    """A dependency cannot be reached at all: not resolvable, refused, breaker open."""

    status = 503


class DeadlineExceeded(ServiceError):
    """The time that the caller gave is used up."""

    status = 504


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's ``responses`` for these error statuses, with the body that they all share."""
    return {status: {"model": ErrorBody} for status in statuses}
