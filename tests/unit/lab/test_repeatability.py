from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from typer.testing import CliRunner

import lab.exam_client
from lab import cli
from lab.repeatability import Measured, measure, row, spread
from scenarios.model import FOLDER, load
from tests.journals import event, journal


def measured(page_s: float | None = 20.0, *, alerts: tuple[str, ...] = ("A of b",)) -> Measured:
    return Measured(
        to_alert_s=page_s, to_page_s=page_s, error_ratio=0.5, p95_ms=900, alerts=frozenset(alerts)
    )


def test_a_run_is_measured_from_its_fault_on() -> None:
    made = journal(
        load(FOLDER / "payment-dns.yaml"),
        ended_s=120,
        events=[
            event(-5, "alert.fired", alertname="Early", service="payment"),
            event(31, "alert.fired", alertname="PaymentHighErrorRatio", service="payment"),
            event(33, "page.sent", incident_id="i"),
            event(50, "page.sent", incident_id="j"),
        ],
    )

    found = measure(made)

    assert (found.to_alert_s, found.to_page_s) == (31, 33)
    assert (found.error_ratio, found.p95_ms) == (1.0, 900.0)
    assert found.alerts == {"PaymentHighErrorRatio of payment"}


def test_where_no_route_is_affected_all_are_measured() -> None:
    found = measure(journal(load(FOLDER / "quiet-night.yaml"), ended_s=120))

    assert (found.to_page_s, found.error_ratio, found.p95_ms, found.alerts) == (None, 0.0, 12.0, frozenset())


def test_the_p95_is_the_nearest_rank() -> None:
    made = journal(load(FOLDER / "payment-dns.yaml"), ended_s=120)
    twenty = [
        probe.model_copy(update={"at": made.run.ended_at, "affected": True, "latency_ms": float(number)})
        for number, probe in enumerate([made.probes[0]] * 20, 1)
    ]

    found = measure(made.model_copy(update={"probes": twenty}))

    assert found.p95_ms == 19.0


def test_a_run_that_was_too_short_is_refused() -> None:
    made = journal(load(FOLDER / "payment-dns.yaml"), ended_s=120)
    late = made.run.model_copy(update={"injected_at": made.run.ended_at + timedelta(seconds=1)})

    with pytest.raises(ValueError, match="no probes 15 s after its fault"):
        measure(made.model_copy(update={"run": late}))


def test_a_row_has_least_median_and_most_and_says_that_the_alerts_are_identical() -> None:
    said = row("payment-dns", [measured(20), measured(24.5), measured(21)])

    assert said == (
        "| payment-dns | 3 | 20.0 / 21.0 / 24.5 | 20.0 / 21.0 / 24.5 | 50 / 50 / 50 % | 900 / 900 / 900"
        " | identical (1) |"
    )


def test_a_row_names_alerts_that_did_not_fire_each_time_and_pages_that_never_came() -> None:
    said = row("payment-dns", [measured(20), measured(None, alerts=("A of b", "C of d"))])

    assert "20.0 / 20.0 / 20.0 (never: 1)" in said
    assert said.endswith("| 2 sets; not always: C of d |")


def test_a_quiet_night_has_no_alerts_and_no_pages() -> None:
    said = row("quiet-night", [measured(None, alerts=())] * 2)

    assert "| never | never |" in said
    assert said.endswith("| none |")


def test_a_spread_is_least_median_and_most() -> None:
    assert (spread([3, 1, 2, 10]).low, spread([3, 1, 2, 10]).median, spread([3, 1, 2, 10]).high) == (
        1,
        2.5,
        10,
    )


class Examiner:
    """An exam whose runs wait, say why, and are graded at the fourth look; somebody stops one of them."""

    def __init__(self, *, stopped_in: int) -> None:
        self.aborted: list[str] = []
        self._stopped_in = stopped_in
        self._made = 0
        self._looks: Iterator[dict[str, Any]] = iter(())

    def post(self, path: str, _body: Any = None) -> Any:
        if path == "/runs":
            self._made += 1
            waits = {"state": "waiting", "trouble": "PaymentDown fires"}
            self._looks = iter((waits, waits, {"state": "running", "trouble": None}, {"state": "graded"}))
        if path.endswith("/abort"):
            self.aborted.append(path)
        return {"id": f"r{self._made}"}

    def get(self, path: str) -> Any:
        if path.endswith("/journal"):
            return journal(load(FOLDER / "payment-dns.yaml"), ended_s=120).model_dump(mode="json")
        if self._made == self._stopped_in:
            self._stopped_in = 0
            raise KeyboardInterrupt
        return next(self._looks, {"state": "running"})


@pytest.mark.parametrize(("stopped_in", "rows"), [(3, ["| payment-dns | 2 |"]), (2, [])])
def test_whoever_stops_repeating_is_told_what_was_measured_if_there_is_anything_to_compare(
    stopped_in: int, rows: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    examiner = Examiner(stopped_in=stopped_in)
    monkeypatch.setattr("lab.repeat.POLL_S", 0)
    monkeypatch.setattr(lab.exam_client, "examiner", lambda: examiner)

    told = CliRunner().invoke(cli.app, ["repeat", "payment-dns", "--runs", "5"])

    assert told.exit_code == 130
    assert [line[:19] for line in told.stdout.splitlines()[2:]] == rows
    assert examiner.aborted == [f"/runs/r{stopped_in}/abort"]


def test_why_a_repeated_run_does_not_go_on_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.repeat.POLL_S", 0)
    monkeypatch.setattr(lab.exam_client, "examiner", lambda: Examiner(stopped_in=0))

    told = CliRunner().invoke(cli.app, ["repeat", "payment-dns", "--runs", "2"])

    assert told.exit_code == 0
    assert told.stderr.count("waiting: PaymentDown fires") == 2
    assert "waiting" not in told.stdout
