"""Release ``e18c5a9`` serves: no cache, the unindexed look-up and the small pool at once. Incident B.

Its hotfix, a ping before each use of a connection, changes nothing.
Seen as: errors and latency at once.
Undone by: rolling back.
"""

from services.common.failure_modes import FailureMode
from services.profile.releases import PARTIAL_HOTFIX
from services.profile.store import ProfileStore

MODE = FailureMode[ProfileStore]("combined", settings={"release": PARTIAL_HOTFIX})
