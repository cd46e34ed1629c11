"""Release ``b71e4d8`` serves: its reads no longer go through the cache.

Seen as: a database read for each request, a cache hit ratio of 0.
Undone by: rolling back (``release``), or switching the cache on (``cache``).
"""

from services.common.failure_modes import FailureMode
from services.profile.releases import WITHOUT_CACHE
from services.profile.store import ProfileStore

MODE = FailureMode[ProfileStore]("cache_off", settings={"release": WITHOUT_CACHE})
