"""Every failure mode of the profile service: its symptom in figures, its recovery, what mends it."""

import json
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from sqlalchemy import create_engine, text

from tests.conftest import LabDatabase, RunningService, Shop

GOOD_RELEASE = "7d3a9e1"
LOOKUP = "SELECT * FROM profile.users WHERE profile.lookup_key(email) = profile.lookup_key('grace@shop.test')"
END_IDLE_SESSIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE application_name = 'profile' AND state = 'idle in transaction'"
)
SESSIONS = "SELECT state, count(*) FROM pg_stat_activity WHERE application_name = 'profile' GROUP BY state"


@pytest.fixture(params=["postgres", "sqlite"])
def profile(request: pytest.FixtureRequest) -> Iterator[RunningService]:
    """The service on either database: its symptoms must not depend on which."""
    shop: Shop = request.getfixturevalue("shop" if request.param == "postgres" else "lone_shop")
    return shop.start("profile")


@pytest.fixture
def on_postgres(shop: Shop) -> RunningService:
    """The service on Postgres, for what is seen there."""
    return shop.start("profile")


def get(profile: RunningService, user_id: int) -> tuple[int, float]:
    """The status of one read and how many seconds it took."""
    started = time.perf_counter()
    status = profile.client.get(f"/api/users/profile/{user_id}").status_code
    return status, time.perf_counter() - started


def statuses(profile: RunningService, *, first: int, count: int, at_once: int) -> Counter[int]:
    """The statuses of reads of different users, ``at_once`` at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        return Counter(
            status for status, _ in pool.map(lambda n: get(profile, n), range(first, first + count))
        )


# --- cache_off


def test_cache_off_reads_the_database_for_each_request(profile: RunningService) -> None:
    get(profile, 1)
    profile.mode("cache_off")
    checkouts = profile.metric("db_pool_wait_seconds_count")

    for _ in range(5):
        assert get(profile, 1)[0] == 200

    assert profile.metric("db_pool_wait_seconds_count") - checkouts == 5
    assert profile.metric("cache_requests_total", result="bypass") == 5
    assert profile.metric("cache_requests_total", result="hit") == 0
    assert profile.metric("build_info", release="b71e4d8") == 1


@pytest.mark.parametrize("mitigation", [{"cache": True}, {"release": GOOD_RELEASE}])
def test_cache_off_is_mended_by_a_rollback_or_the_cache(
    profile: RunningService, mitigation: dict[str, object]
) -> None:
    profile.mode("cache_off")

    assert profile.set(**mitigation).status_code == 200

    get(profile, 1)
    get(profile, 1)
    assert profile.metric("cache_requests_total", result="hit") == 1


def test_leaving_cache_off_brings_the_cache_back(profile: RunningService) -> None:
    profile.mode("cache_off")
    profile.mode("none")

    get(profile, 1)
    get(profile, 1)

    assert profile.metric("cache_requests_total", result="hit") == 1
    assert profile.metric("build_info", release=GOOD_RELEASE) == 1
    assert profile.metric("build_info", release="b71e4d8") == 0


# --- slow_query


def test_slow_query_takes_two_seconds_a_read_on_any_machine(profile: RunningService) -> None:
    profile.mode("slow_query")

    with ThreadPoolExecutor(8) as pool:
        reads = list(pool.map(lambda n: get(profile, n), range(1, 9)))

    assert {status for status, _ in reads} == {200}
    assert 1.8 <= statistics.median(took for _, took in reads) <= 2.6


def test_slow_query_shows_as_a_sequential_scan_and_an_active_session_a_request(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    on_postgres.mode("slow_query")
    with lab_database.connect("candidate") as db, db.cursor() as cursor, ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(get, on_postgres, n) for n in range(1, 5)]
        time.sleep(1)
        cursor.execute(SESSIONS)
        sessions = dict(cursor.fetchall())
        cursor.execute(f"EXPLAIN {LOOKUP}")
        plan = "\n".join(row[0] for row in cursor.fetchall())
        assert [read.result()[0] for read in reads] == [200] * 4

    assert sessions["active"] == 4
    assert "Seq Scan on users" in plan


def test_slow_query_is_mended_by_an_index_without_a_restart(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    on_postgres.mode("slow_query")
    assert get(on_postgres, 1)[1] > 1.8

    with lab_database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute("CREATE INDEX ON profile.users (profile.lookup_key(email))")
        cursor.execute(f"EXPLAIN {LOOKUP}")
        plan = "\n".join(row[0] for row in cursor.fetchall())

    assert "Index Scan" in plan
    took = sorted(get(on_postgres, n)[1] for n in range(1, 12))
    assert statistics.median(took) < 0.05


def test_slow_query_is_mended_by_an_index_on_sqlite_too(lone_shop: Shop) -> None:
    profile = lone_shop.start("profile", FAILURE_MODE="slow_query")
    assert get(profile, 1)[1] > 1.8

    engine = create_engine(lone_shop.environment["DATABASE_URL"])
    with engine.begin() as db:
        driver = db.connection.driver_connection
        driver.create_function("lookup_key", 1, lambda email: email.strip().lower(), deterministic=True)
        db.execute(text("CREATE INDEX users_lookup_key ON users (lookup_key(email))"))
    engine.dispose()

    took = sorted(get(profile, n)[1] for n in range(1, 12))
    assert statistics.median(took) < 0.05


@pytest.mark.parametrize("mitigation", [{"cache": True}, {"release": GOOD_RELEASE}])
def test_slow_query_is_mended_by_a_rollback_or_the_cache(
    profile: RunningService, mitigation: dict[str, object]
) -> None:
    profile.mode("slow_query")

    profile.set(**mitigation)

    get(profile, 1)
    assert get(profile, 1)[1] < 0.5


def test_leaving_slow_query_makes_reads_quick_again(profile: RunningService) -> None:
    profile.mode("slow_query")
    profile.mode("none")

    assert get(profile, 1)[1] < 0.5


# --- pool_saturation


def test_pool_saturation_fails_reads_one_after_another(profile: RunningService) -> None:
    profile.mode("pool_saturation")

    found = statuses(profile, first=1, count=8, at_once=1)

    assert found[200] >= 2
    assert found[500] >= 3
    assert set(found) == {200, 500}


def test_pool_saturation_fails_reads_under_load(profile: RunningService) -> None:
    profile.mode("pool_saturation")

    found = statuses(profile, first=1, count=20, at_once=10)

    assert found[500] >= 14
    assert profile.metric("db_pool_size") == 2
    assert "QueuePool limit of size 2" in profile.log.read_text()
    assert profile.metric("http_requests_total", status="500") == found[500]


def test_pool_saturation_leaves_sessions_idle_in_transaction(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    on_postgres.mode("pool_saturation")
    statuses(on_postgres, first=1, count=4, at_once=4)

    with lab_database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute(SESSIONS)
        sessions = dict(cursor.fetchall())

    assert sessions["idle in transaction"] == 2
    assert on_postgres.metric("db_pool_in_use") == 2


def test_pool_saturation_is_mended_by_a_rollback(profile: RunningService) -> None:
    profile.mode("pool_saturation")
    statuses(profile, first=1, count=4, at_once=4)

    profile.set(release=GOOD_RELEASE)

    assert statuses(profile, first=100, count=20, at_once=10) == {200: 20}
    assert profile.metric("db_pool_size") == 20


def test_pool_saturation_is_mended_by_the_cache_once_it_is_filled(profile: RunningService) -> None:
    statuses(profile, first=1, count=5, at_once=1)
    profile.mode("pool_saturation")
    assert 500 in statuses(profile, first=1, count=5, at_once=5)

    profile.set(cache=True)

    assert statuses(profile, first=1, count=5, at_once=5) == {200: 5}


def test_a_bigger_pool_helps_against_pool_saturation_in_part(profile: RunningService) -> None:
    profile.mode("pool_saturation")
    profile.set(pool_size=6)

    found = statuses(profile, first=1, count=12, at_once=12)

    assert found[200] >= 6
    assert found[500] >= 1


def test_leaving_pool_saturation_gives_every_session_back(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    on_postgres.mode("pool_saturation")
    statuses(on_postgres, first=1, count=4, at_once=4)

    on_postgres.mode("none")

    assert statuses(on_postgres, first=100, count=20, at_once=10) == {200: 20}
    with lab_database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute(SESSIONS)
        assert "idle in transaction" not in dict(cursor.fetchall())


# --- combined


def test_combined_shows_errors_and_latency_at_once(profile: RunningService) -> None:
    profile.mode("combined")

    with ThreadPoolExecutor(10) as pool:
        reads = list(pool.map(lambda n: get(profile, n), range(1, 21)))

    slow_successes = [took for status, took in reads if status == 200]
    assert slow_successes
    assert min(slow_successes) > 1.8
    assert sum(status == 500 for status, _ in reads) >= 10


def test_the_hotfix_in_combined_does_not_help(profile: RunningService) -> None:
    profile.mode("combined")

    assert profile.metric("build_info", release="e18c5a9") == 1
    assert 500 in statuses(profile, first=1, count=6, at_once=6)


def test_combined_is_mended_by_a_rollback(profile: RunningService) -> None:
    profile.mode("combined")
    statuses(profile, first=1, count=4, at_once=4)

    profile.set(release=GOOD_RELEASE)

    assert statuses(profile, first=100, count=20, at_once=10) == {200: 20}


def test_leaving_combined_recovers(profile: RunningService) -> None:
    profile.mode("combined")
    statuses(profile, first=1, count=4, at_once=4)

    profile.mode("none")

    assert statuses(profile, first=100, count=20, at_once=10) == {200: 20}


# --- inject_timeout_errors


def test_inject_timeout_errors_fails_every_read_with_the_drivers_own_error(profile: RunningService) -> None:
    get(profile, 1)
    profile.mode("INJECT_TIMEOUT_ERRORS")
    statements = profile.metric("db_query_seconds_count")

    assert statuses(profile, first=1, count=6, at_once=3) == {500: 6}

    assert profile.metric("db_query_seconds_count") - statements >= 6
    errors = [json.loads(line) for line in profile.log.read_text().splitlines() if "request.failed" in line]
    assert {error["error_type"] for error in errors} == {"OperationalError"}
    assert all("timeout" in error["error"] or "interrupted" in error["error"] for error in errors)


def test_inject_timeout_errors_is_mended_by_the_setting(profile: RunningService) -> None:
    profile.mode("inject_timeout_errors")

    profile.set(query_timeout_ms=2000)

    assert statuses(profile, first=1, count=6, at_once=3) == {200: 6}


def test_leaving_inject_timeout_errors_recovers(profile: RunningService) -> None:
    profile.mode("inject_timeout_errors")
    profile.mode("none")

    assert statuses(profile, first=1, count=6, at_once=3) == {200: 6}


# --- the environment's switches


def test_the_single_switches_work_without_a_mode(lone_shop: Shop) -> None:
    profile = lone_shop.start(
        "profile", DISABLE_CACHE="true", ENABLE_SLOW_QUERY="true", DB_POOL_LIMIT="7", FAILURE_MODE="none"
    )

    get(profile, 1)

    assert get(profile, 1)[1] > 1.8
    assert profile.metric("cache_requests_total", result="bypass") == 2
    assert profile.metric("db_pool_size") == 7


def test_injected_timeouts_work_as_a_switch(lone_shop: Shop) -> None:
    profile = lone_shop.start("profile", INJECT_TIMEOUT_ERRORS="true")

    assert statuses(profile, first=1, count=4, at_once=2) == {500: 4}


def test_a_failure_mode_overrides_the_single_switches(lone_shop: Shop) -> None:
    profile = lone_shop.start(
        "profile", FAILURE_MODE="cache_off", ENABLE_SLOW_QUERY="true", INJECT_TIMEOUT_ERRORS="true"
    )

    status, took = get(profile, 1)

    assert status == 200
    assert took < 0.5


# --- the world put back


def test_the_baseline_drops_an_added_index_and_the_operators_settings(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    on_postgres.mode("slow_query")
    on_postgres.set(cache=True, pool_size=3)
    with lab_database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute('CREATE INDEX "an Odd name" ON profile.users (profile.lookup_key(email))')

    answer = on_postgres.client.post("/admin/baseline")

    assert answer.json() == {"service": "profile", "failure_mode": "none", "previous": "slow_query"}
    settings = on_postgres.client.get("/ops/settings").json()["settings"]
    assert not any(setting["set_by_operator"] for setting in settings.values())
    with lab_database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute("SELECT indexname FROM pg_indexes WHERE tablename = 'users' ORDER BY indexname")
        assert cursor.fetchall() == [("users_email_key",), ("users_pkey",)]


def test_a_baseline_that_somebody_holds_up_is_a_503_and_can_be_asked_for_again(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    with closing(lab_database.connect("candidate")) as db, db.cursor() as cursor:
        cursor.execute("CREATE INDEX added ON profile.users (email)")
        cursor.execute("BEGIN; SELECT count(*) FROM profile.users")
        held_up = on_postgres.client.post("/admin/baseline")
        cursor.execute("COMMIT")

    again = on_postgres.client.post("/admin/baseline")

    assert held_up.status_code == 503
    assert "lock timeout" in held_up.json()["detail"]
    assert again.status_code == 200


def test_a_person_may_end_the_sessions_and_reads_go_on(
    on_postgres: RunningService, lab_database: LabDatabase
) -> None:
    on_postgres.mode("pool_saturation")
    statuses(on_postgres, first=1, count=2, at_once=2)

    assert end_idle_sessions(lab_database) == 2
    on_postgres.mode("none")
    found = statuses(on_postgres, first=100, count=20, at_once=5)
    assert found[200] >= 15


def end_idle_sessions(database: LabDatabase) -> int:
    """Do what a person may who sees sessions that idle in their transactions; how many there were."""
    with database.connect("candidate") as db, db.cursor() as cursor:
        cursor.execute(END_IDLE_SESSIONS)
        return sum(was_ended for (was_ended,) in cursor.fetchall())


def test_the_sweep_gives_back_what_a_person_ended_and_goes_on(
    on_postgres: RunningService, lab_database: LabDatabase, eventually: Callable[..., None]
) -> None:
    on_postgres.mode("pool_saturation")
    for first in (1, 3):
        assert statuses(on_postgres, first=first, count=2, at_once=2) == {200: 2}
        assert end_idle_sessions(lab_database) == 2

        eventually(lambda: on_postgres.metric("db_pool_in_use") == 0)

    assert statuses(on_postgres, first=5, count=2, at_once=2) == {200: 2}


@pytest.mark.parametrize("release", ["b71e4d8", GOOD_RELEASE])
def test_a_rollback_after_a_person_ended_the_sessions_is_no_error(
    on_postgres: RunningService, lab_database: LabDatabase, release: str
) -> None:
    on_postgres.mode("pool_saturation")
    statuses(on_postgres, first=1, count=2, at_once=2)
    end_idle_sessions(lab_database)

    answer = on_postgres.set(release=release)

    assert answer.status_code == 200
    assert answer.json()["settings"]["release"]["value"] == release
    assert on_postgres.metric("db_pool_in_use") == 0
    assert statuses(on_postgres, first=100, count=20, at_once=5) == {200: 20}


def test_the_candidate_cannot_read_the_truth(lab_database: LabDatabase) -> None:
    with (
        lab_database.connect("candidate") as db,
        db.cursor() as cursor,
        pytest.raises(psycopg2.errors.InsufficientPrivilege),
    ):
        cursor.execute("SELECT * FROM exam.phases")
