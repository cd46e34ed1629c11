"""Field types that services share: text that Postgres can keep, severities, who did it."""

import re
from typing import Annotated, Literal

from fastapi import Header, Query
from pydantic import AfterValidator, Field

Severity = Literal["critical", "high", "medium", "low"]
ServiceName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$", examples=["payment"])]
Line = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
"""A line of text: Postgres takes no NUL, and a log line no line break."""
Prose = Annotated[str, Field(min_length=1, max_length=10_000, pattern=r"^[^\x00]+$")]
"""Text of several lines."""

Actor = Annotated[
    str,
    Header(
        alias="X-Actor",
        min_length=1,
        max_length=64,
        pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
        description="Who does this; goes into the timeline.",
    ),
]
OWN_ACTORS = frozenset({"baseline", "postgres-session-ended"})
"""Who stands in the audit table where a service changed something by itself; no request may say so."""


def _no_own_actor(name: str) -> str:
    if name in OWN_ACTORS:
        raise ValueError(f"{name} is what a service calls itself")
    return name


OperatorName = Annotated[
    str,
    Header(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$"),
    AfterValidator(_no_own_actor),
]
"""Who changes what operators may change, as one word; goes into the audit table."""
Limit = Annotated[int, Query(ge=1, le=200, description="Rows of a page.")]
Offset = Annotated[int, Query(ge=0, le=1_000_000, description="Rows before the page.")]

IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,128}")
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=f"^{IDEMPOTENCY_KEY.pattern}$", description="The same request sent again is done once."),
]
