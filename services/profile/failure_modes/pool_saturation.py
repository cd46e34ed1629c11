"""Release ``d40f3b2`` serves: a pool of 2, and sessions that only a sweep every 5 s gives back.

Seen as: ``QueuePool`` timeouts and 500s, also with requests one after the
other; sessions ``idle in transaction``.
Undone by: rolling back, or switching the cache on; a bigger pool helps in part.
"""

from services.common.failure_modes import FailureMode
from services.profile.releases import SMALL_POOL
from services.profile.store import ProfileStore

MODE = FailureMode[ProfileStore]("pool_saturation", settings={"release": SMALL_POOL})
