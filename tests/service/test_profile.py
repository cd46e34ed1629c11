"""The profile service in health, on SQLite and on Postgres: the same code, the same answers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from embedded.free_ports import free_port
from tests.conftest import START_DEADLINE_S, RunningService, Shop


@pytest.fixture(params=["postgres", "sqlite"])
def profile(request: pytest.FixtureRequest) -> Iterator[RunningService]:
    """The healthy service on either database."""
    shop: Shop = request.getfixturevalue("shop" if request.param == "postgres" else "lone_shop")
    return shop.start("profile")


def test_a_named_profile_is_answered_in_full(profile: RunningService) -> None:
    answer = profile.client.get("/api/users/profile/7")

    assert answer.status_code == 200
    assert answer.headers["x-failure-mode"] == "none"
    created_at = answer.json().pop("created_at")
    assert created_at.startswith("20")
    assert {k: v for k, v in answer.json().items() if k != "created_at"} == {
        "id": 7,
        "email": "grace@shop.test",
        "name": "Grace",
        "plan": "business",
        "country": "US",
        "account_key": "grace@shop.test",
    }


def test_a_thousand_users_exist_and_no_more(profile: RunningService) -> None:
    assert profile.client.get("/api/users/profile/1000").json()["email"] == "user1000@shop.test"

    unknown = profile.client.get("/api/users/profile/1001")

    assert unknown.status_code == 404
    assert unknown.json() == {"detail": "no user 1001"}


@pytest.mark.parametrize("user_id", ["0", "-1", "x", "1.5", "99999999999999999999", "1'; DROP TABLE users"])
def test_a_bad_id_is_refused_with_the_reason(profile: RunningService, user_id: str) -> None:
    answer = profile.client.get(f"/api/users/profile/{user_id}")

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["path", "user_id"]


def test_a_second_read_comes_out_of_the_cache(profile: RunningService) -> None:
    profile.client.get("/api/users/profile/3")
    checkouts = profile.metric("db_pool_wait_seconds_count")
    statements = profile.metric("db_query_seconds_count", service="profile")

    profile.client.get("/api/users/profile/3")

    assert profile.metric("cache_requests_total", result="hit") == 1
    assert profile.metric("cache_requests_total", result="miss") == 1
    assert profile.metric("db_pool_wait_seconds_count") == checkouts
    assert profile.metric("db_query_seconds_count", service="profile") == statements > 0


def test_health_names_the_service(profile: RunningService) -> None:
    assert profile.client.get("/health").json() == {"status": "ok", "service": "profile"}


# --- alone, as `make run` starts it


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[httpx.Client]:
    """The service as ``python -m services.profile``, with an admin token, once it answers."""
    port = free_port()
    environment = {
        "ENV": "demo",
        "LAB_ADMIN_TOKEN": "right",
        "PATH": os.environ["PATH"],
        "PROFILE_PORT": str(port),
        "DATABASE_URL": f"sqlite:///{tmp_path}/profile.db",
        "FAILURE_MODE": "combined",
    }
    command = [sys.executable, "-m", "services.profile"]
    with (
        subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process,
        closing(httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20)) as client,
    ):
        try:
            wait_for(client)
            yield client
        finally:
            process.terminate()


def wait_for(client: httpx.Client) -> None:
    """Return when ``/health`` answers; raises httpx's error when nothing does for long."""
    ends_at = time.monotonic() + START_DEADLINE_S
    while True:
        try:
            client.get("/health")
        except httpx.TransportError:
            if time.monotonic() > ends_at:
                raise
            time.sleep(0.1)
        else:
            return


def test_alone_it_serves_in_its_mode_without_postgres(alone: httpx.Client) -> None:
    answer = alone.get("/api/users/profile/7")

    assert (answer.status_code, answer.headers["x-failure-mode"]) == (200, "combined")


def test_alone_it_takes_no_header_for_the_address_of_a_client_that_guesses(alone: httpx.Client) -> None:
    statuses = [
        alone.get(
            "/admin/failure-mode",
            headers={"authorization": "Bearer wrong", "x-forwarded-for": f"203.0.113.{n}"},
        ).status_code
        for n in range(15)
    ]

    assert set(statuses) == {403, 429}
    assert statuses[-1] == 429
