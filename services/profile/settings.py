"""What the profile service reads from its environment, and what an operator may change."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from services.common.ops import OperatorModel
from services.common.settings import ServiceSettings, mode_alias
from services.profile import releases

DEFAULT_DATABASE = Path(".lab/profile.db")
DEFAULT_QUERY_TIMEOUT_MS = 4000
SHORTEST_QUERY_TIMEOUT_MS = 1


class ProfileSettings(ServiceSettings):
    """The single switches hold for the baseline release; ``FAILURE_MODE`` overrides them."""

    failure_mode: str = Field(default="none", validation_alias=mode_alias("PROFILE", "FAILURE_MODE"))
    database_url: str | None = f"sqlite:///{DEFAULT_DATABASE}"
    disable_cache: bool = False
    enable_slow_query: bool = False
    db_pool_limit: int = Field(default=20, ge=1, le=100)
    inject_timeout_errors: bool = False
    demo_scenario: str = "incident_b"


def _known_release(sha: str) -> str:
    if sha not in releases.KNOWN:
        raise ValueError(f"unknown release; known: {', '.join(releases.KNOWN)}")
    return sha


class ProfileOperatorSettings(OperatorModel):
    """What a person on call may change live on the profile service."""

    release: Annotated[str, AfterValidator(_known_release)] = Field(
        default=releases.BASELINE, description="The release that serves; a rollback sets an older one."
    )
    cache: bool | None = Field(
        default=None, description="Whether reads go through the cache; null: as the release has it."
    )
    pool_size: int | None = Field(
        default=None, ge=1, le=100, description="Connections in the pool; null: as the release has it."
    )
    query_timeout_ms: int = Field(
        default=DEFAULT_QUERY_TIMEOUT_MS,
        ge=SHORTEST_QUERY_TIMEOUT_MS,
        le=60_000,
        description="The database cancels a look-up that takes longer.",
    )
