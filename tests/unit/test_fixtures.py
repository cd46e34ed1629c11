"""The fixtures keep their form, and tell the story that the code plays."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from services.common.catalog import BASELINE_RELEASE
from services.common.failure_modes import discover
from services.profile import failure_modes, releases
from services.profile.releases import Lookup, catalogue
from services.profile.settings import ProfileOperatorSettings

FOLDER = Path(__file__).parents[2] / "fixtures"
BY_COMMIT = catalogue(has_cache=True, lookup=Lookup.PRIMARY_KEY, pool_size=20)


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


COMMITS = load("recent_commits")
SNAPSHOT = load("config_snapshot")


@pytest.mark.parametrize("name", ["recent_commits", "config_snapshot"])
def test_a_fixture_keeps_to_its_schema(name: str) -> None:
    schema = load(f"{name}.schema")

    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(load(name), schema)


def test_commits_are_told_in_order() -> None:
    times = [datetime.fromisoformat(commit["timestamp"]) for commit in COMMITS]

    assert times == sorted(set(times))
    assert len({commit["sha"] for commit in COMMITS}) == len(COMMITS)


def test_every_release_that_a_service_can_report_is_a_commit() -> None:
    told = [commit["sha"] for commit in COMMITS]

    assert [sha for sha in told if sha in releases.KNOWN] == list(releases.KNOWN)
    assert BASELINE_RELEASE in told


def test_the_story_has_harmless_commits_too() -> None:
    harmless = [commit for commit in COMMITS if commit["sha"] not in releases.KNOWN]

    assert len(harmless) >= 3


def test_each_commit_changes_what_its_message_says() -> None:
    good = BY_COMMIT["7d3a9e1"]

    assert (good.has_cache, good.returns_sessions, good.pool_size) == (True, True, 20)
    assert not BY_COMMIT["b71e4d8"].has_cache
    assert BY_COMMIT["c95a017"].lookup is Lookup.EMAIL
    assert (BY_COMMIT["d40f3b2"].pool_size, BY_COMMIT["d40f3b2"].returns_sessions) == (2, False)
    assert BY_COMMIT["e18c5a9"].pre_ping


def test_every_mode_that_deploys_deploys_a_commit_of_the_story() -> None:
    deployed = {
        name: mode.settings["release"]
        for name, mode in discover(failure_modes).items()
        if "release" in mode.settings
    }

    assert deployed == {
        "cache_off": "b71e4d8",
        "slow_query": "c95a017",
        "pool_saturation": "d40f3b2",
        "combined": "e18c5a9",
    }


def test_the_snapshot_shows_what_its_mode_sets() -> None:
    mode = discover(failure_modes)[SNAPSHOT["failure_mode"]]
    in_force = ProfileOperatorSettings(**mode.settings)
    release = BY_COMMIT[in_force.release]

    assert SNAPSHOT["settings"] == {
        "release": in_force.release,
        "cache": release.has_cache,
        "pool_size": release.pool_size,
        "query_timeout_ms": in_force.query_timeout_ms,
    }
