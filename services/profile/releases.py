"""The releases of the profile service: what each changed, under the commit that it was built from.

``fixtures/recent_commits.json`` tells the story of the same commits.
``c95a017`` and ``d40f3b2`` are branches off ``b71e4d8``; ``e18c5a9`` merges both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum

from services.common.catalog import BASELINE_RELEASE

BASELINE = BASELINE_RELEASE
WITHOUT_CACHE = "b71e4d8"
LOOKUP_BY_EMAIL = "c95a017"
SMALL_POOL = "d40f3b2"
PARTIAL_HOTFIX = "e18c5a9"

KNOWN = (BASELINE, WITHOUT_CACHE, LOOKUP_BY_EMAIL, SMALL_POOL, PARTIAL_HOTFIX)


class Lookup(Enum):
    """How a user's row is found."""

    PRIMARY_KEY = "primary_key"
    EMAIL = "email"
    """By ``lookup_key(email)``, an expression without an index."""


@dataclass(frozen=True)
class Release:
    """How one release behaves."""

    has_cache: bool
    lookup: Lookup
    returns_sessions: bool
    """Whether a request gives its session back when it ends; else a sweep does, later."""
    pool_size: int
    pre_ping: bool


def catalogue(*, has_cache: bool, lookup: Lookup, pool_size: int) -> Mapping[str, Release]:
    """Every release by its commit; the parameters are the baseline's."""
    good = Release(
        has_cache=has_cache, lookup=lookup, returns_sessions=True, pool_size=pool_size, pre_ping=False
    )
    without_cache = replace(good, has_cache=False, lookup=Lookup.PRIMARY_KEY)
    by_email = replace(without_cache, lookup=Lookup.EMAIL)
    small_pool = replace(without_cache, returns_sessions=False, pool_size=2)
    # The hotfix pings each connection before its use, on the guess that they are stale. They are not.
    hotfix = replace(small_pool, lookup=Lookup.EMAIL, pre_ping=True)
    return dict(zip(KNOWN, (good, without_cache, by_email, small_pool, hotfix), strict=True))
