"""The states of an incident: open → acknowledged → in_progress → resolved, forward only."""

from datetime import datetime

from services.common.errors import Conflict
from services.incident_management.schemas import STATUSES, Status

WAY = " → ".join(STATUSES)


def check_step(now: Status, wanted: Status, *, actor: str | None, at: datetime | None) -> None:
    """Raise ``Conflict`` unless ``wanted`` lies ahead of ``now``.

    ``actor`` and ``at`` say who brought the incident to where it is, and when:
    whoever comes second learns who was first.
    """
    if STATUSES.index(wanted) > STATUSES.index(now):
        return
    by = f" by {actor}" if actor else ""
    when = f" at {at:%Y-%m-%dT%H:%M:%SZ}" if at else ""
    if wanted == now:
        raise Conflict(f"already {now}{by}{when}")
    advice = "; reopen it instead" if now == "resolved" else ""
    raise Conflict(
        f"cannot go back to {wanted}: the incident is {now}{by}{when}, and only moves forward ({WAY}){advice}"
    )


def sets_acknowledged(wanted: Status) -> bool:
    """Whether reaching ``wanted`` says that somebody has taken the incident up.

    Who works on an incident has acknowledged it, also without saying so; who
    resolves it straight away has not, so its time to acknowledge stays unknown.
    """
    return wanted in ("acknowledged", "in_progress")
