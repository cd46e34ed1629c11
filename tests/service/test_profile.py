"""The profile service in health, on SQLite and on Postgres: the same code, the same answers."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningService, Shop


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
