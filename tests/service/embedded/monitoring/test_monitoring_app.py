"""The monitoring as the lab runs it, a process: a fault becomes an alert, its end resolves it."""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from embedded import ROOT
from embedded.free_ports import free_port
from embedded.monitoring import told
from embedded.monitoring.app import TOLD
from embedded.processes import child_main
from services.common.catalog import SERVICES
from tests.service.embedded.monitoring.conftest import Exporter, Receiver

RULES = """
groups:
  - name: some
    rules:
      - alert: Broken
        expr: max by (service) (broken) == 1
        for: 200ms
        labels: {severity: critical}
        annotations: {summary: "{{ $labels.service }} is broken"}
"""
HEALTHY, BROKEN = 'broken{service="gateway"} 0\n', 'broken{service="gateway"} 1\n'

_fork_server = multiprocessing.get_context("forkserver")


@contextmanager
def monitoring(
    folder: Path,
    *,
    exporter: Exporter,
    receiver: Receiver,
    lab_resumes: str = "false",
    evaluation_interval_s: str = "0.1",
) -> Iterator[str]:
    """The monitoring on a free port, scraping every 100 ms; every service is the exporter. Its URL."""
    (folder / "rules").mkdir(exist_ok=True)
    (folder / "rules" / "some.yml").write_text(RULES)
    port = free_port()
    environment = {
        "PATH": "/usr/bin:/bin",
        "TZ": "UTC",
        **{f"{service.variable_prefix}_URL": exporter.url for service in SERVICES},
        "GATEWAY_URL": exporter.url,
        "ALERT_INGESTION_URL": receiver.url,
        "PROMETHEUS_URL": f"http://127.0.0.1:{port}",
        "PROMETHEUS_RULES": str(folder / "rules"),
        "LAB_DIR": str(folder),
        "LAB_RESUMES": lab_resumes,
        "SCRAPE_INTERVAL_S": "0.1",
        "EVALUATION_INTERVAL_S": evaluation_interval_s,
    }
    arguments = ("embedded.monitoring.app:create_app", "127.0.0.1", port)
    process = _fork_server.Process(
        target=child_main,
        args=("prometheus", "services.common.serving:serve", arguments, environment, folder / "log"),
    )
    process.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.join(10)
        assert process.exitcode in (0, -signal.SIGTERM), (folder / "log").read_text()[-3000:]


@pytest.fixture
def running(tmp_path: Path, exporter: Exporter, receiver: Receiver) -> Iterator[httpx.Client]:
    """A client for the monitoring of a healthy shop."""
    exporter.body = HEALTHY
    with (
        monitoring(tmp_path, exporter=exporter, receiver=receiver) as url,
        httpx.Client(base_url=url, trust_env=False) as client,
    ):
        yield client


def answers(client: httpx.Client, path: str = "/health", *, status: int = 200) -> bool:
    try:
        return client.get(path).status_code == status
    except httpx.TransportError:
        return False


def test_a_fault_is_posted_and_so_is_its_end(
    running: httpx.Client,
    exporter: Exporter,
    receiver: Receiver,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    receiver.statuses = [503]

    exporter.body = BROKEN
    eventually(lambda: receiver.accepted)
    exporter.body = HEALTHY
    eventually(lambda: len(receiver.accepted) > 1)

    firing, resolved = receiver.accepted[:2]
    assert (firing["status"], resolved["status"]) == ("firing", "resolved")
    assert firing["groupLabels"] == {"alertname": "Broken", "service": "gateway"}
    assert [alert["annotations"]["summary"] for alert in firing["alerts"]] == ["gateway is broken"]
    assert [alert["fingerprint"] for alert in firing["alerts"]] == [
        alert["fingerprint"] for alert in resolved["alerts"]
    ]


@pytest.mark.parametrize(
    ("lab_resumes", "statuses"),
    [("false", ["firing", "resolved", "firing"]), ("true", ["firing", "firing"])],
)
def test_a_lab_that_starts_knows_no_fault_and_one_that_goes_on_knows_it_still(
    tmp_path: Path,
    exporter: Exporter,
    receiver: Receiver,
    eventually: Callable[[Callable[[], object]], None],
    lab_resumes: str,
    statuses: list[str],
) -> None:
    def knows_that_it_was_told() -> bool:
        return bool(receiver.accepted) and not any(one["unsent"] for one in told.read(tmp_path / TOLD))

    exporter.body = BROKEN
    with monitoring(tmp_path, exporter=exporter, receiver=receiver):
        eventually(knows_that_it_was_told)
    with monitoring(tmp_path, exporter=exporter, receiver=receiver, lab_resumes=lab_resumes):
        eventually(lambda: len(receiver.accepted) >= len(statuses))

    assert [message["status"] for message in receiver.accepted] == statuses


def test_it_tells_how_it_is_and_lets_browsers_ask(
    running: httpx.Client, eventually: Callable[[Callable[[], object]], None]
) -> None:
    eventually(lambda: answers(running))

    assert running.get("/health").json() == {"status": "ok", "service": "prometheus"}
    assert "prometheus_tsdb_head_series" in running.get("/metrics").text
    answer = running.get("/api/v1/query", params={"query": "1"}, headers={"origin": "http://console"})
    assert answer.headers["access-control-allow-origin"] == "*"


def test_one_that_does_not_keep_up_with_its_rules_says_so(
    tmp_path: Path,
    exporter: Exporter,
    receiver: Receiver,
    eventually: Callable[[Callable[[], object]], None],
) -> None:
    late = monitoring(tmp_path, exporter=exporter, receiver=receiver, evaluation_interval_s="0.000001")
    with late as url, httpx.Client(base_url=url, trust_env=False) as client:
        eventually(lambda: answers(client, status=503))

        assert [client.get(path).status_code for path in ("/-/healthy", "/-/ready")] == [503, 503]


def test_every_service_of_the_catalog_is_a_target(
    running: httpx.Client, eventually: Callable[[Callable[[], object]], None]
) -> None:
    def up() -> list[str]:
        if not answers(running):
            return []
        targets = running.get("/api/v1/targets").json()["data"]["activeTargets"]
        return sorted(target["labels"]["job"] for target in targets if target["health"] == "up")

    eventually(lambda: up() == sorted(service.name for service in SERVICES))


def test_rules_that_cannot_be_used_keep_it_from_starting(tmp_path: Path) -> None:
    (tmp_path / "some.yml").write_text(
        RULES.replace("max by (service) (broken) == 1", "deriv(broken[1m]) > 0")
    )
    environment = {**os.environ, "PROMETHEUS_RULES": str(tmp_path)}

    done = subprocess.run(
        [sys.executable, "-c", "from embedded.monitoring.app import create_app; create_app()"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert f"{tmp_path}/some.yml: group 'some', rule 'Broken': the function deriv() is not" in done.stderr
    assert "'deriv(broken[1m]) > 0'" in done.stderr
