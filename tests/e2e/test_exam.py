"""An exam on the whole blind lab, typed as people type it: paged, mitigated, handed in, graded, reported."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from embedded import state
from embedded.supervision import Standing
from tests.lab import PROJECT, Lab, playing, wait_for

DIAGNOSIS = {
    "component": "dns",
    "mechanism": "record-missing",
    "trigger": "zone-change",
    "affected": ["POST /api/payment", "POST /api/refund"],
    "not_affected": ["GET /api/transactions"],
    "severity": "critical",
    "evidence": [
        {"kind": "query", "ref": "SELECT count(*) FROM payment.transactions", "says": "few"},
        {
            "kind": "metric",
            "ref": 'rate(dependency_requests_total{outcome="unresolved"}[1m])',
            "says": "many",
        },
    ],
}
ANSWERS = frozenset({"payment-dns", "record_missing", "soaking", "record-missing", "zone-change"})


class Terminal:
    """``lab`` as it is typed on the machine of a lab."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        ports = {name: str(port) for name, port in lab.ports.items()}
        self._environment = {**os.environ, **ports, "LAB_DIR": str(folder / "lab"), "LAB_BLIND": "true"}
        self._folder = folder

    def __call__(self, *words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "lab", *words],
            cwd=PROJECT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr + done.stdout
        return done.stdout

    def components(self) -> dict[str, Standing]:
        """Every component of the lab as it stands."""
        written = state.read(self._folder / "lab")
        assert written is not None
        return {one.name: one for one in written.components}

    def kill(self, name: str) -> None:
        pid = self.components()[name].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)


def test_a_candidate_is_paged_mitigates_hands_in_and_there_is_a_report(tmp_path: Path) -> None:
    file, report = tmp_path / "diagnosis.yaml", tmp_path / "report.json"
    file.write_text(yaml.safe_dump(DIAGNOSIS))
    with playing("none", tmp_path, soak_s=5, hold_s=50, LAB_BLIND="true") as lab:
        type_ = Terminal(lab, tmp_path)
        run_id = type_("exam", "start", "payment-dns", "--candidate", "ana", "--soak", "12").split()[1]
        assert "left of the run (running)" in type_("exam", "time")

        wait_for(lambda: lab.is_paged(service="payment"), within_s=90, show=lab.output)
        type_("exam", "ack")
        type_.kill("exam")
        type_.kill("alert-ingestion")
        type_("psql", "-c", "SELECT count(*) FROM payment.transactions")
        httpx.put(f"{lab.url('dns')}/ops/records/fraud-api", json={"address": "127.0.0.1"}, trust_env=False)
        wait_for(lambda: "healthy" in health(lab), within_s=30, show=lab.output)
        type_("exam", "update", "Payments go through again.")
        wait_for(lambda: "symptom.recovered" in type_("exam", "timeline"), within_s=60, show=lab.output)
        type_("exam", "submit", str(file))
        wait_for(lambda: "graded" in type_("exam", "status"), within_s=60, show=lab.output)
        type_("exam", "report", "--output", str(report))
        type_("export", run_id, "--format", "rcaeval", "--output", str(tmp_path))
        told = leaks(tmp_path / "lab" / "logs")

    found = json.loads(report.read_text())
    kinds = {event["kind"] for event in found["journal"]["events"]}
    assert found["journal"]["run"]["id"] == run_id
    # On a busy machine everything takes longer, which costs points; doing nothing stays below 20.
    assert found["score"]["points"] > 30
    assert kinds >= {"alert.fired", "incident.opened", "page.sent", "page.acknowledged", "sql.run"}
    assert kinds >= {"record.changed", "update.posted", "service.restarted", "symptom.recovered"}
    assert found["journal"]["final"]["passed"], found["journal"]["final"]
    assert [one["bears"] for one in found["journal"]["evidence"]] == [True, True]
    assert len(found["journal"]["signals"]) >= 10
    assert (tmp_path / "lab" / "reports" / f"{run_id}.html").exists()
    assert told == []
    case = json.loads((tmp_path / "firedrill_dns_record-missing_1" / "metrics.json").read_text())
    assert min(value for _, value in case["gateway_workload"][3:]) > 0
    assert max(value for _, value in case["payment_dependency-errors"]) > 0.5


def test_an_exam_goes_on_whatever_dies_in_its_middle(tmp_path: Path) -> None:
    file, report = tmp_path / "diagnosis.yaml", tmp_path / "report.json"
    file.write_text(yaml.safe_dump(DIAGNOSIS))
    with playing("none", tmp_path, soak_s=5, hold_s=50, LAB_BLIND="true") as lab:
        type_ = Terminal(lab, tmp_path)
        type_("exam", "start", "payment-dns", "--candidate", "ana", "--soak", "12")
        wait_for(lambda: lab.is_paged(service="payment"), within_s=90, show=lab.output)
        type_("exam", "ack")

        for name, before in type_.components().items():
            type_.kill(name)
            wait_for(lambda: is_back(type_, before), within_s=60, show=lab.output)  # noqa: B023
            assert "left of the run (running)" in type_("exam", "time")

        httpx.put(f"{lab.url('dns')}/ops/records/fraud-api", json={"address": "127.0.0.1"}, trust_env=False)
        wait_for(lambda: "symptom.recovered" in type_("exam", "timeline"), within_s=60, show=lab.output)
        type_("exam", "submit", str(file))
        wait_for(lambda: "graded" in type_("exam", "status"), within_s=60, show=lab.output)
        type_("exam", "report", "--output", str(report))

    found = json.loads(report.read_text())
    kinds = {event["kind"] for event in found["journal"]["events"]}
    assert kinds >= {"page.sent", "page.acknowledged", "record.changed", "symptom.recovered"}
    assert found["journal"]["final"]["passed"], found["journal"]["final"]


def is_back(type_: Terminal, before: Standing) -> bool:
    """Whether a component that was killed has been started again, and is healthy."""
    standing = type_.components()[before.name]
    return standing.restarts > before.restarts and standing.state == "healthy"


def health(lab: Lab) -> str:
    try:
        return "healthy" if httpx.get(f"{lab.url('exam')}/health", trust_env=False).is_success else ""
    except httpx.TransportError:
        return ""


def leaks(logs: Path) -> list[str]:
    """Logs that name the answer: a candidate reads them."""
    return [
        f"{file.name}: {word}" for file in logs.glob("*.log*") for word in ANSWERS if word in file.read_text()
    ]
