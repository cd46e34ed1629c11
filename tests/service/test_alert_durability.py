"""What was answered with 2xx is kept and gets its incident, whatever is away or killed when."""

import itertools
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psutil
import pytest

import database
from embedded.free_ports import free_port
from embedded.postgres import Server
from services.alert_ingestion.openings import ASKERS
from tests.conftest import LabDatabase, Shop, _shop
from tests.receiver import Received, receiving
from tests.storm import ALERTS, post_all

INCIDENTS = "/api/v1/incidents"
ALERT = {"service": "payment", "severity": "critical", "message": "error ratio above 5 %"}

Wait = Callable[..., None]


def stored(database: LabDatabase) -> dict[str, str | None]:
    """The incident of each stored alert."""
    with database.connect("platform") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id::text, incident_id::text FROM incident.alerts")
        return dict(cursor.fetchall())


def incident_count(database: LabDatabase) -> int:
    with database.connect("platform") as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM incident.incidents")
        [count] = cursor.fetchone() or (0,)
        return int(count)


def opened(asked: Received) -> tuple[int, Any]:
    """What incident-management answers when it has opened all that was asked for."""
    keys = [one["idempotency_key"] for one in asked.body["incidents"]]
    return 201, {"items": [{"idempotency_key": key, "incident_id": str(uuid4())} for key in keys]}


def titles(asked: Received) -> set[str]:
    """Of the incidents that it was asked for."""
    return {one["title"] for one in asked.body["incidents"]}


# --- a replica that died


def test_what_a_dead_replica_left_is_asked_for_while_others_wait_for_theirs(
    shop: Shop, eventually: Wait
) -> None:
    ingestion = shop.start("alert-ingestion")
    ingestion.client.post(ALERTS, json=ALERT)
    ingestion = shop.restart("alert-ingestion")
    is_over = threading.Event()

    def open_slowly(asked: Received) -> tuple[int, Any]:
        is_over.wait(1)
        return opened(asked)

    def keep_posting(client: int) -> None:
        with httpx.Client(base_url=ingestion.url, timeout=30, trust_env=False) as http:
            for n in itertools.count():
                if is_over.is_set():
                    return
                http.post(ALERTS, json={**ALERT, "service": f"s-{client}-{n}"})

    port = shop.port("incident-management")
    with receiving(port, open_slowly) as incidents, ThreadPoolExecutor(4) as storm:
        posting = [storm.submit(keep_posting, client) for client in range(4)]
        try:
            eventually(lambda: len(incidents.received) > 2)
            eventually(
                lambda: any(
                    one["service"] == ALERT["service"]
                    for asked in incidents.received
                    for one in asked.body["incidents"]
                )
            )
            assert not any(one.done() for one in posting)
        finally:
            is_over.set()


# --- incident-management away


def test_without_incident_management_alerts_are_pending_and_get_one_incident_when_it_is_back(
    shop: Shop, eventually: Wait
) -> None:
    assert shop.database is not None
    ingestion = shop.start("alert-ingestion")

    first = ingestion.client.post(ALERTS, json=ALERT)
    storm = post_all([ingestion.url], [ALERT] * 50, clients=8)
    waiting = ingestion.metric("alerts_pending")
    shown = ingestion.client.get(f"{ALERTS}/{first.json()['alert_id']}").json()
    shop.start("incident-management")
    eventually(lambda: ingestion.metric("alerts_pending") == 0)

    assert first.status_code == 202
    assert first.json() == {
        "alert_id": first.json()["alert_id"],
        "incident_id": None,
        "status": "pending",
        "action": None,
    }
    assert storm.statuses == {202: 50}
    assert waiting == 51
    assert (shown["status"], shown["incident_id"]) == ("pending", None)
    kept = stored(shop.database)
    assert set(kept) == storm.accepted_ids | {first.json()["alert_id"]}
    assert len(set(kept.values())) == 1
    assert incident_count(shop.database) == 1
    assert ingestion.metric("alerts_correlated_total", result="new_incident") == 1
    assert ingestion.metric("alerts_correlated_total", result="existing_incident") == 50


def test_a_key_that_was_pending_answers_with_its_incident_later(shop: Shop, eventually: Wait) -> None:
    ingestion = shop.start("alert-ingestion")
    key = {"idempotency-key": "k-1"}
    before = ingestion.client.post(ALERTS, json=ALERT, headers=key)
    shop.start("incident-management")
    eventually(lambda: ingestion.metric("alerts_pending") == 0)

    after = ingestion.client.post(ALERTS, json=ALERT, headers=key)

    assert (before.status_code, after.status_code) == (202, 201)
    assert after.json()["alert_id"] == before.json()["alert_id"]
    assert (after.json()["status"], after.json()["action"]) == ("correlated", "new_incident")


def test_an_incident_management_that_hangs_costs_the_first_alerts_their_wait_and_no_other_anything(
    shop: Shop, eventually: Wait
) -> None:
    ingestion = shop.start("alert-ingestion", INCIDENT_WAIT_S="0.3")

    let_go = threading.Event()

    def hang(_: Received) -> tuple[int, object]:
        let_go.wait(30)
        return 503, {}

    with receiving(shop.port("incident-management"), hang):
        first = ingestion.client.post(ALERTS, json=ALERT)
        eventually(lambda: "incidents.postponed" in ingestion.log.read_text())
        later = [ingestion.client.post(ALERTS, json={**ALERT, "service": f"s-{n}"}) for n in range(4)]
        let_go.set()

    assert {answer.status_code for answer in (first, *later)} == {202}
    assert first.elapsed.total_seconds() >= 0.3
    # One that finds out anew would wait again.
    assert min(answer.elapsed.total_seconds() for answer in later) < 0.3


def test_an_incident_that_is_refused_keeps_no_other_one_from_being_opened(
    shop: Shop, eventually: Wait
) -> None:
    ingestion = shop.start("alert-ingestion", INCIDENT_WAIT_S="0.1")
    let_go = threading.Event()

    def refuse_one(asked: Received) -> tuple[int, Any]:
        let_go.wait(1.5)
        return (422, {"detail": "no"}) if "refused" in titles(asked) else opened(asked)

    with receiving(shop.port("incident-management"), refuse_one) as incidents:
        # What comes while every asker waits for its answer is asked for together.
        for n in range(ASKERS):
            ingestion.client.post(ALERTS, json={**ALERT, "service": f"s-{n}"})
        eventually(lambda: len(incidents.received) == ASKERS)
        for said in ("refused", "fine"):
            ingestion.client.post(ALERTS, json={**ALERT, "service": said, "message": said})
        let_go.set()
        eventually(lambda: {"fine"} in map(titles, incidents.received))

    assert {"refused", "fine"} in map(titles, incidents.received)


def test_an_answer_that_nobody_foresaw_leaves_its_alert_pending_and_is_not_the_last_one_asked_for(
    shop: Shop,
) -> None:
    ingestion = shop.start("alert-ingestion")
    odd = iter([(201, {"items": [{"idempotency_key": 1, "incident_id": 2}]})] * ASKERS)

    with receiving(shop.port("incident-management"), lambda asked: next(odd, None) or opened(asked)):
        answers = [
            ingestion.client.post(ALERTS, json={**ALERT, "service": f"s-{n}"}) for n in range(ASKERS + 1)
        ]

    assert [answer.status_code for answer in answers] == [*[202] * ASKERS, 201]
    assert "incidents.failed" in ingestion.log.read_text()


def test_pending_alerts_outlive_the_process_that_took_them(shop: Shop, eventually: Wait) -> None:
    assert shop.database is not None
    ingestion = shop.start("alert-ingestion")
    storm = post_all([ingestion.url], [{**ALERT, "service": f"s-{n}"} for n in range(30)], clients=8)

    ingestion = shop.restart("alert-ingestion")
    shop.start("incident-management")
    eventually(lambda: ingestion.metric("alerts_pending") == 0)

    assert storm.statuses == {202: 30}
    assert set(stored(shop.database)) == storm.accepted_ids
    assert incident_count(shop.database) == 30


# --- kill -9 in the middle of a storm


@pytest.mark.parametrize("victim", ["alert-ingestion", "incident-management"])
def test_killing_a_service_in_a_storm_loses_nothing_that_was_accepted(
    shop: Shop, eventually: Wait, victim: str
) -> None:
    assert shop.database is not None
    shop.start("incident-management")
    shop.start("alert-ingestion")
    replica = shop.start_replica("alert-ingestion")
    urls = [shop["alert-ingestion"].url, replica.url]

    def kill(count: int) -> None:
        if count == 150:
            os.kill(shop[victim].process.pid or 0, signal.SIGKILL)

    bodies = [{**ALERT, "service": f"s-{n % 40}"} for n in range(600)]
    storm = post_all(urls, bodies, clients=16, after=kill)
    shop.restart(victim)
    eventually(lambda: replica.metric("alerts_pending") == 0, within_s=30)

    assert set(storm.statuses) <= {201, 202}
    assert len(storm.accepted) >= 150
    kept = stored(shop.database)
    assert storm.accepted_ids <= set(kept)
    assert None not in kept.values()
    # One incident for each key, although the one who had asked for it may have died.
    assert incident_count(shop.database) == 40
    told = {receipt["alert_id"]: receipt["incident_id"] for receipt in storm.accepted}
    assert all(kept[alert] == incident for alert, incident in told.items() if incident)


class KillablePostgres:
    """A server that syncs its commits, is killed with all its processes, and starts again on its data."""

    def __init__(self, directory: Path) -> None:
        self.server = Server(directory, port=free_port())
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, after a kill with recovery, and wait until it takes connections."""
        self.server.prepare()
        self._process = subprocess.Popen(
            self.server.command(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self.server.options(),
        )
        ends_at = time.monotonic() + 30
        while not self.server.is_ready(self._process.pid):
            assert time.monotonic() < ends_at, "Postgres does not come up"
            time.sleep(0.05)

    def kill(self) -> None:
        """``kill -9`` of the server and of every session."""
        assert self._process is not None
        whole = psutil.Process(self._process.pid)
        for process in (whole, *whole.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait(10)


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[KillablePostgres]:
    """A Postgres of the test's own."""
    postgres = KillablePostgres(tmp_path / "postgres")
    postgres.start()
    yield postgres
    postgres.kill()
    postgres.server.erase()


def test_killing_postgres_in_a_storm_loses_nothing_that_was_accepted(
    tmp_path: Path, killable: KillablePostgres, eventually: Wait
) -> None:
    lab = LabDatabase(killable.server.create_database("lab"))
    database.apply(lab.admin_url, passwords={role: role for role in database.ROLES})
    restarted = threading.Event()

    def kill_and_start(count: int) -> None:
        if count == 150:
            killable.kill()
            killable.start()
            restarted.set()

    with _shop(tmp_path, lab) as shop:
        shop.start("incident-management", "alert-ingestion")
        ingestion = shop["alert-ingestion"]
        bodies = [{**ALERT, "service": f"s-{n % 40}"} for n in range(600)]
        storm = post_all([ingestion.url], bodies, clients=16, after=kill_and_start)
        eventually(lambda: ingestion.metric("alerts_pending") == 0, within_s=30)
        again = post_all([ingestion.url], bodies[:40], clients=4)
        eventually(lambda: ingestion.metric("alerts_pending") == 0, within_s=30)

        assert restarted.is_set()
        assert set(storm.statuses) <= {201, 202, 503}
        assert storm.statuses[201] + storm.statuses[202] >= 150
        assert set(again.statuses) <= {201, 202}
        kept = stored(lab)
        assert storm.accepted_ids | again.accepted_ids <= set(kept)
        assert None not in kept.values()
        assert incident_count(lab) == 40
