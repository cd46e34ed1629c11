"""RCAEval's own code on our cases: its readers read them, its methods find the service that broke."""

import json
import subprocess
from pathlib import Path

import pytest

from embedded.errors import LabError
from lab.export import baseline, rcaeval
from tests.recordings import log_line, recording, span

READ = """
import json, sys
from RCAEval.utility import read_logs, read_metrics, read_traces
metrics, logs, traces = (read(sys.argv[1]) for read in (read_metrics, read_logs, read_traces))
print(json.dumps({
    "rows": len(metrics), "first": list(metrics.columns[:2]), "holes": int(metrics.isna().sum().sum()),
    "logs": logs["container_name"].tolist(), "traces": traces["serviceName"].tolist(),
}))
"""


@pytest.fixture(scope="module")
def rcaeval_python() -> Path:
    """The interpreter that has RCAEval."""
    try:
        return baseline.interpreter()
    except LabError as error:
        pytest.skip(str(error))


def test_the_readers_of_rcaeval_read_a_case(tmp_path: Path, rcaeval_python: Path) -> None:
    one = recording(lines=[log_line("payment", "a\nb")], spans=[span("gateway"), span("payment")])
    case = rcaeval.write(one, tmp_path)

    read = subprocess.run(
        [rcaeval_python, "-c", READ, str(case)], capture_output=True, text=True, check=True, timeout=120
    )

    assert json.loads(read.stdout) == {
        "rows": 120,
        "first": ["time", "gateway_workload"],
        "holes": 0,
        "logs": ["payment"],
        "traces": ["gateway", "payment"],
    }


def test_baro_and_nsigma_find_the_service_whose_metrics_rose(tmp_path: Path, rcaeval_python: Path) -> None:
    cases = [rcaeval.write(recording(name), tmp_path) for name in ("payment-dns", "missing-index")]

    said = baseline.ask(cases, python=rcaeval_python)

    assert [[(one.method, one.place, one.services[0]) for one in case] for case in said] == [
        [("baro", 1, "dns"), ("nsigma", 1, "dns")],
        [("baro", 1, "profile"), ("nsigma", 1, "profile")],
    ]
    assert said[0][0].chance[1] == pytest.approx(1 / 6)
