"""The clock of a run."""

from datetime import UTC, datetime, timedelta

from services.exam.run_clock import RunClock

START = datetime(2026, 1, 1, 12, tzinfo=UTC)


def after(minutes: float) -> datetime:
    return START + timedelta(minutes=minutes)


def test_time_runs_out_after_the_minutes_that_were_given() -> None:
    clock = RunClock(START, None, 0, None, minutes=45)

    assert clock.left_s(after(44)) == 60
    assert clock.left_s(after(46)) == 0
    assert clock.ends_at(after(10)) == after(45)


def test_a_pause_stops_the_clock_and_gives_the_time_back() -> None:
    paused = RunClock(START, after(10), 0, None, minutes=45)
    resumed = RunClock(START, None, 20 * 60, None, minutes=45)

    assert paused.elapsed_s(after(30)) == 600
    assert paused.ends_at(after(30)) is None
    assert resumed.elapsed_s(after(40)) == 20 * 60
    assert resumed.ends_at(after(40)) == after(65)


def test_the_clock_has_not_begun_before_the_start_and_stands_after_the_end() -> None:
    assert RunClock(None, None, 0, None, minutes=45).elapsed_s(after(5)) == 0
    assert RunClock(START, None, 0, after(20), minutes=45).elapsed_s(after(90)) == 20 * 60
