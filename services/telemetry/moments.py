"""Moments as a reader gives them: ISO 8601, or how long ago."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import AfterValidator, Field

from services.common.errors import Unprocessable
from services.telemetry.records import EARLIEST, LATEST

_AGO = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment(text: str, *, now: datetime) -> datetime:
    """``2026-11-21T09:00:00Z``, or ``15m`` for a quarter of an hour before ``now``.

    Without an offset it is UTC. Raises ``Unprocessable``.
    """
    ago = _AGO.fullmatch(text)
    try:
        if ago:
            found = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            # A plus sign that nobody escaped in a URL arrives as a blank.
            found = datetime.fromisoformat(text.strip().replace(" ", "+") if "T" in text else text)
    except (ValueError, OverflowError) as error:
        raise Unprocessable("a moment is ISO 8601, or a time span such as 15m or 2h") from error
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return min(max(found, EARLIEST), LATEST)


def readable(text: str) -> str:
    """``text`` if it is a moment; for checking at the door."""
    try:
        moment(text, now=datetime.now(UTC))
    except Unprocessable as error:
        raise ValueError(error.detail) from error
    return text


Moment = Annotated[str, Field(max_length=64, examples=["15m"]), AfterValidator(readable)]
"""A query parameter that ``moment`` reads."""
