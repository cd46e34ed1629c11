"""The database cancels a look-up after 1 ms, and every look-up takes at least 2 ms.

Seen as: 500s with the driver's own timeout error for every read that misses the cache.
Undone by: the setting ``query_timeout_ms``.
"""

from services.common.failure_modes import FailureMode
from services.profile.settings import SHORTEST_QUERY_TIMEOUT_MS
from services.profile.store import ProfileStore

MODE = FailureMode[ProfileStore](
    "inject_timeout_errors",
    # "Every lookup": a cached answer would hide it.
    settings={"query_timeout_ms": SHORTEST_QUERY_TIMEOUT_MS, "cache": False},
)
