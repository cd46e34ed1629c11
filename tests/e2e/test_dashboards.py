"""Every query of every dashboard, asked while a scenario is on: none fails, none finds nothing."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from embedded.free_ports import free_port
from embedded.monitoring.settings import RULES
from monitoring.grafana import check
from services.common.catalog import SERVICES
from tests.lab import PROJECT, Lab, playing, wait_for

pytestmark = pytest.mark.xdist_group("dashboards")

EXPORTER = shutil.which("prometheus-postgres-exporter")
PROMETHEUS = shutil.which("prometheus")
NEITHER_IN_THE_EMBEDDED_LAB = ("--without", "pg_sessions", "--without", "lab_phase")
"""It runs no exporter, and does not scrape the schedule."""


@pytest.fixture(scope="module")
def schedule_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, schedule_port: int) -> Iterator[Lab]:
    """Incident B is on for as long as the module needs it."""
    folder = tmp_path_factory.mktemp("lab")
    metrics = {"SCHEDULE_METRICS_PORT": str(schedule_port)}
    with playing("incident-b", folder, soak_s=6, hold_s=600, **metrics) as lab:
        yield lab


@pytest.fixture(scope="module")
def prometheus(
    lab: Lab, schedule_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str | None]:
    """The URL of a real Prometheus that watches the lab too; ``None`` where there is none on this machine."""
    if PROMETHEUS is None or EXPORTER is None:
        yield None
        return
    folder = tmp_path_factory.mktemp("prometheus")
    targets = {service.name: lab.ports[service.port_variable] for service in SERVICES}
    targets["traffic-generator"] = lab.ports["TRAFFIC_GENERATOR_PORT"]
    targets["schedule"] = schedule_port
    with ExitStack() as stack:
        targets["postgres"] = stack.enter_context(_exporter(lab, folder))
        yield stack.enter_context(_prometheus(targets, folder))


@pytest.fixture(scope="module")
def one_incident_done(lab: Lab, prometheus: str | None) -> None:
    """An incident that was paged, acknowledged and resolved. Prometheus watches from before it."""
    wait_for(lambda: lab.is_paged(service="profile"), within_s=90, show=lab.output)
    incident = next(i for i in lab.incidents() if (i["service"], i["severity"]) == ("profile", "critical"))
    url = f"{lab.url('incident-management')}/api/v1/incidents/{incident['id']}"
    for status in ("acknowledged", "in_progress", "resolved"):
        httpx.patch(url, json={"status": status}, trust_env=False).raise_for_status()


@contextmanager
def _exporter(lab: Lab, folder: Path) -> Iterator[int]:
    """The exporter as the compose lab runs it; its port."""
    assert EXPORTER is not None
    known = subprocess.run([EXPORTER, "--help"], capture_output=True, text=True, check=False)
    collectors = re.findall(r"--(?:\[no-\])?collector\.(\w+)", known.stdout + known.stderr)
    port = free_port()
    arguments = [
        EXPORTER,
        f"--web.listen-address=127.0.0.1:{port}",
        f"--extend.query-path={PROJECT / 'monitoring' / 'postgres-exporter' / 'queries.yaml'}",
        "--disable-default-metrics",
        "--disable-settings-metrics",
        *(f"--no-collector.{name}" for name in dict.fromkeys(collectors)),
    ]
    database = f"127.0.0.1:{lab.ports['POSTGRES_PORT']}/firedrill?sslmode=disable"
    environment = {"DATA_SOURCE_NAME": f"postgresql://metrics:metrics@{database}"}
    with _program(arguments, folder / "exporter.log", environment):
        yield port


@contextmanager
def _prometheus(targets: dict[str, int], folder: Path) -> Iterator[str]:
    """A Prometheus that scrapes these ports and evaluates the lab's rules; its URL."""
    assert PROMETHEUS is not None
    configuration = {
        "global": {"scrape_interval": "5s", "scrape_timeout": "4s", "evaluation_interval": "5s"},
        "rule_files": [f"{RULES}/*.yml"],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
            for job, port in targets.items()
        ],
    }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
    port = free_port()
    arguments = [
        PROMETHEUS,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with _program(arguments, folder / "prometheus.log", {}):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _program(arguments: list[str], log: Path, environment: dict[str, str]) -> Iterator[None]:
    with log.open("w") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=output, env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def _postgres(lab: Lab) -> str:
    return f"postgresql://observer:observer@127.0.0.1:{lab.ports['POSTGRES_PORT']}/firedrill"


@pytest.mark.usefixtures("one_incident_done")
def test_every_query_finds_something_in_prometheus_and_postgres(
    lab: Lab, prometheus: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if prometheus is None:
        pytest.skip("needs the packages prometheus and prometheus-postgres-exporter")

    code = check.main(["--prometheus", prometheus, "--postgres", _postgres(lab), "--within", "90"])

    assert code == 0, capsys.readouterr().out


@pytest.mark.usefixtures("one_incident_done")
def test_every_query_finds_something_in_the_embedded_monitoring(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    code = check.main(["--prometheus", lab.url_of_prometheus, "--within", "90", *NEITHER_IN_THE_EMBEDDED_LAB])

    assert code == 0, capsys.readouterr().out


@pytest.mark.usefixtures("one_incident_done")
def test_a_query_that_finds_nothing_or_fails_is_named(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded lab runs no exporter: here its queries must be found out."""
    code = check.main(["--prometheus", lab.url_of_prometheus])

    shown = capsys.readouterr().out
    assert code == 1
    assert "incident-b / Postgres sessions by state" in shown
    assert "is empty" in shown
