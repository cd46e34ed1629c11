"""Release ``c95a017`` serves: it finds users by ``lookup_key(email)``, which no index covers.

Seen as: a p95 near 2 s, a sequential scan in ``EXPLAIN``, an active session a request.
Undone by: rolling back, ``CREATE INDEX ON profile.users (profile.lookup_key(email))``,
or switching the cache on.
"""

from services.common.failure_modes import FailureMode
from services.profile.releases import LOOKUP_BY_EMAIL
from services.profile.store import ProfileStore

MODE = FailureMode[ProfileStore]("slow_query", settings={"release": LOOKUP_BY_EMAIL})
