"""The profile service: users' profiles, behind a cache and a connection pool."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from anyio import to_thread
from fastapi import APIRouter, FastAPI, Path, Request, Response

from services.common.app import ServiceParts, create_service
from services.common.database import Database, driver_url
from services.common.errors import NotFound, responses
from services.common.failure_modes import NONE
from services.common.ops import OperatorSettings
from services.common.poller import Poller
from services.profile import failure_modes, sqlite
from services.profile.releases import Lookup, catalogue
from services.profile.schemas import Profile
from services.profile.settings import (
    DEFAULT_QUERY_TIMEOUT_MS,
    SHORTEST_QUERY_TIMEOUT_MS,
    ProfileOperatorSettings,
    ProfileSettings,
)
from services.profile.store import SWEEP_EVERY_S, ProfileStore

NAME = "profile"
MAX_ID = 2**31 - 1

router = APIRouter()


@router.get("/api/users/profile/{user_id}", responses=responses(404))
def read_profile(
    user_id: Annotated[int, Path(ge=1, le=MAX_ID)], request: Request, response: Response
) -> Profile:
    """One user's profile."""
    state = request.app.state
    if not state.parts.settings.lab_blind:
        response.headers["X-Failure-Mode"] = state.switch.current
    profile: Profile | None = state.parts.world.find(user_id)
    if profile is None:
        raise NotFound(f"no user {user_id}")
    return profile


def create_app() -> FastAPI:
    """The app, on Postgres or, when it runs alone, on its own SQLite file."""
    settings = ProfileSettings()
    switches_hold = settings.failure_mode == NONE
    database = _open(settings)
    releases = catalogue(
        has_cache=not (switches_hold and settings.disable_cache),
        lookup=Lookup.EMAIL if switches_hold and settings.enable_slow_query else Lookup.PRIMARY_KEY,
        pool_size=settings.db_pool_limit,
    )
    store = ProfileStore(database, releases, service=NAME)
    injects = switches_hold and settings.inject_timeout_errors
    baseline = ProfileOperatorSettings(
        query_timeout_ms=SHORTEST_QUERY_TIMEOUT_MS if injects else DEFAULT_QUERY_TIMEOUT_MS,
        cache=False if injects else None,
    )
    operator = OperatorSettings(NAME, baseline, database=database)
    operator.on_change(store.follow)

    @asynccontextmanager
    async def sweeping() -> AsyncIterator[None]:
        async def sweep() -> None:
            await to_thread.run_sync(store.sweep)

        try:
            async with Poller("sweep", sweep, every_s=SWEEP_EVERY_S).running():
                yield
        finally:
            store.sweep()

    return create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            release=lambda: operator.in_force.release,
            database=database,
            operator=operator,
            failure_modes=failure_modes,
            world=store,
            restore=store.drop_added_indexes,
            running=(sweeping,),
        ),
        router,
    )


def _open(settings: ProfileSettings) -> Database:
    assert settings.database_url is not None
    url = driver_url(settings.database_url)
    database = Database(
        settings.database_url,
        service=NAME,
        schema="profile",
        pool_size=settings.db_pool_limit,
        pre_ping=False,
    )
    if url.get_backend_name() == "sqlite":
        sqlite.prepare(url)
        database.on_connect(sqlite.on_connect)
    return database
