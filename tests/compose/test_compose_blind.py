"""A blind compose lab of its own: an exam is sat on it, and nothing that can be fetched names a fault."""

import sys
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import pytest

from embedded.environment import settings
from lab.batch import Exam, Terms, sit
from lab.exam_client import ExamClient
from scenarios.model import load_all
from tests.compose.engine import EXAMINER_TOKEN, ComposeLab, port_variables, standing, wait_for
from tests.compose.playing import (
    PAGED_WITHIN_S,
    PHASE,
    PLAYED_BY_THE_EXAM,
    is_somebody_paged,
    play,
    told,
)
from tests.lab import Lab
from tests.leaks import everything, leaks

PLAYED_BY_THE_SCHEDULE = "inventory-timeout"
LOOK_S = 90


@pytest.fixture(scope="module")
def blind_lab() -> Iterator[ComposeLab]:
    """A blind lab that nothing was played on before."""
    unknown = ("POSTGRES_PASSWORD", "SHOP_DB_PASSWORD", "PLATFORM_DB_PASSWORD", "EXAMINER_DB_PASSWORD")
    secrets = {"LAB_ADMIN_TOKEN": "admin-token-of-tests", **dict.fromkeys(unknown, "password-of-tests")}
    with standing("firedrill-test-blind", subnet="172.30.79", LAB_BLIND="true", **secrets) as lab:
        yield lab


def monitoring(lab: ComposeLab) -> Iterator[tuple[str, str]]:
    """What Prometheus and Alertmanager show beside what the lab without Docker shows."""
    for name, paths in (
        ("prometheus", ("/api/v1/status/config", "/api/v1/status/flags", "/api/v1/targets", "/metrics")),
        ("alertmanager", ("/api/v2/status", "/api/v2/alerts", "/api/v2/alerts/groups", "/metrics")),
    ):
        for path in paths:
            yield name + path, httpx.get(lab.url(name) + path, trust_env=False).text


@pytest.mark.timeout(600)
def test_an_exam_is_sat_with_the_candidates_tools_and_graded(
    blind_lab: ComposeLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = blind_lab
    ports = {name: lab.environment[name] for name in port_variables()}
    for name, value in {**ports, "LAB_DIR": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    agent = [sys.executable, "-P", "-m", "exam.agents.reference"]
    before = {incident["id"] for incident in lab.incidents()}
    terms = Terms(agent, "reference", minutes=8, soak_s=10, is_open=False)

    with closing(ExamClient(settings(ports), url=lab.url("exam"), token=EXAMINER_TOKEN)) as examiner:
        result = sit(examiner, Exam(PLAYED_BY_THE_EXAM, 1), terms=terms, logs=tmp_path)

    said = (tmp_path / f"{result.run}.log").read_text()
    assert (result.state, result.ended_by, result.agent_exit) == ("graded", "submitted", 0), said
    detected_s = result.times["detect_s"]
    assert result.points is not None
    assert result.points >= 90, (result, said)
    assert detected_s is not None
    assert detected_s <= PAGED_WITHIN_S
    expected = {(alert.service, alert.severity) for alert in load_all()[PLAYED_BY_THE_EXAM].expected_alerts}
    opened = {(i["service"], i["severity"]) for i in lab.incidents() if i["id"] not in before}
    assert opened <= expected
    print(f"\nexam: {result.points} points, detected after {detected_s:.0f} s, {result.took_s:.0f} s in all")
    told(lab, "export", result.run, "-o", str(tmp_path), folder=tmp_path)
    for name, lines in (("metrics", 10), ("logs", 100), ("traces", 100)):
        assert (tmp_path / result.run / f"{name}.csv").read_text().count("\n") > lines, name


def test_nothing_names_a_fault_wherever_a_candidate_looks(blind_lab: ComposeLab, tmp_path: Path) -> None:
    lab, scenario = blind_lab, load_all()[PLAYED_BY_THE_SCHEDULE]
    play(lab, scenario.name, hold_s=PAGED_WITHIN_S + LOOK_S)
    wait_for(partial(is_somebody_paged, lab, scenario), within_s=PAGED_WITHIN_S, what="somebody is paged")

    ports = {name: lab.port(name) for name in port_variables()}
    seen = dict(everything(Lab(ports, tmp_path), tmp_path))
    seen |= dict(monitoring(lab))
    seen |= {f"log of {name}": lab.log(name) for name in lab.shown_by_dozzle()}

    assert lab.psql(PHASE) == "hold"
    # In it is what the candidate before has found out.
    del seen["table incident.postmortems"]
    assert not leaks(seen)
    assert len(seen) > 150
