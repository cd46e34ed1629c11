"""The schedule against a real HTTP service that goes down and comes back, on a clock of its own."""

import io
import json
from collections.abc import Iterator

import pytest
from fake_service import BREAK, BREAK_AGAIN, RESTORE, FakeService, Timeline, schedule_over

from scenarios.model import NO_FAULT, Scenario, load_all
from scenarios.schedule import Schedule, ShutdownRequested


@pytest.fixture
def schedule(timeline: Timeline, service: FakeService, log: io.StringIO) -> Iterator[Schedule]:
    with schedule_over(service, timeline, log=log) as schedule:
        yield schedule


@pytest.fixture
def blind_schedule(timeline: Timeline, service: FakeService, log: io.StringIO) -> Iterator[Schedule]:
    with schedule_over(service, timeline, log=log, blind=True) as schedule:
        yield schedule


def events(log: io.StringIO) -> list[str]:
    return [json.loads(line)["event"] for line in log.getvalue().splitlines()]


def test_a_scenario_soaks_breaks_restores_and_rests(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario, log: io.StringIO
) -> None:
    schedule.play(incident)

    assert service.calls == [(10, BREAK), (50, RESTORE)]
    assert timeline.now == pytest.approx(80)
    assert events(log) == [
        *["phase.started", "phase.ended"],
        *["phase.started", "fault.applied", "fault.reverted", "phase.ended"],
        *["phase.started", "phase.ended"],
    ]


def test_a_service_that_is_down_when_its_fault_is_due_is_broken_once_it_is_back(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(5, service.stop)
    timeline.at(29.5, service.start)

    schedule.play(incident)

    assert service.calls == [(30, BREAK), (50, RESTORE)]


def test_a_service_that_is_down_for_the_whole_hold_is_left_alone(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(5, service.stop)
    timeline.at(60, service.start)

    schedule.play(incident)

    assert service.calls == []
    assert timeline.now == pytest.approx(80)


def test_a_service_that_is_restarted_in_the_hold_is_resumed_and_not_broken_anew(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario, log: io.StringIO
) -> None:
    timeline.at(25.5, service.restart)

    schedule.play(incident)

    assert service.calls == [(10, BREAK), (26, BREAK_AGAIN), (50, RESTORE)]
    assert "fault.reapplied" in events(log)


def test_a_service_that_is_down_when_its_fault_ends_is_restored_when_it_is_back(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(45, service.stop)
    timeline.at(500.5, service.start)

    schedule.play(incident)

    assert service.calls == [(10, BREAK), (501, RESTORE)]
    assert not service.world_is_broken
    assert timeline.now == pytest.approx(531)


def test_a_service_that_does_not_accept_the_revert_is_asked_until_it_does(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario, log: io.StringIO
) -> None:
    timeline.at(45, service.refuse)
    timeline.at(52.5, service.accept)

    schedule.play(incident)

    assert service.calls == [(10, BREAK), *[(float(second), RESTORE) for second in (50, 51, 52, 53)]]
    assert not service.world_is_broken
    assert events(log).count("fault.revert_pending") == 1


def test_a_service_that_may_have_taken_the_fault_is_restored(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    service.refuse()
    timeline.at(49.5, service.accept)

    schedule.play(incident.with_timeline(hold_s=39.2))

    restored_at_s, path = service.calls[-1]
    assert service.calls[0] == (10, BREAK)
    assert path == RESTORE
    assert restored_at_s == pytest.approx(50.2)
    assert service.mode == "none"


def test_a_shutdown_in_the_hold_restores_at_once(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(20.3, shutdown)

    with pytest.raises(ShutdownRequested):
        schedule.run([incident])
    schedule.shut_down()

    assert service.calls == [(10, BREAK), (20.3, RESTORE)]
    assert service.mode == "none"


def test_a_shutdown_in_the_soak_touches_nothing(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(3, shutdown)

    with pytest.raises(ShutdownRequested):
        schedule.run([incident])
    schedule.shut_down()

    assert service.calls == []


def test_a_shutdown_with_the_service_down_says_that_it_is_left_broken(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario, log: io.StringIO
) -> None:
    timeline.at(20, service.stop)
    timeline.at(20.3, shutdown)

    with pytest.raises(ShutdownRequested):
        schedule.run([incident])
    schedule.shut_down()

    assert "fault.left_applied" in events(log)


def test_without_a_scenario_nothing_is_touched(
    schedule: Schedule, service: FakeService, timeline: Timeline
) -> None:
    timeline.at(3600, shutdown)

    with pytest.raises(ShutdownRequested):
        schedule.run([])
    schedule.shut_down()

    assert service.calls == []


def test_scenarios_are_played_in_turn_for_ever_with_healthy_time_between(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    timeline.at(170, shutdown)

    with pytest.raises(ShutdownRequested):
        schedule.run([incident])

    assert service.calls == [(10, BREAK), (50, RESTORE), (90, BREAK), (130, RESTORE)]


def test_the_first_soak_waits_until_the_services_are_healthy(
    schedule: Schedule, service: FakeService, timeline: Timeline, incident: Scenario
) -> None:
    service.stop()
    timeline.at(30, service.start)
    timeline.at(60, shutdown)

    with pytest.raises(ShutdownRequested):
        schedule.run([incident])

    assert [path for _, path in service.calls] == [BREAK]
    assert service.calls[0][0] == pytest.approx(40.2, abs=0.5)


def test_a_quiet_night_breaks_nothing(
    schedule: Schedule, service: FakeService, timeline: Timeline, log: io.StringIO
) -> None:
    schedule.play(load_all()["quiet-night"])

    assert service.calls == []
    assert events(log) == ["phase.started", "phase.ended"] * 3
    assert timeline.now == pytest.approx(120)


def test_a_service_in_which_nothing_breaks_is_put_back_after_the_hold_as_well(
    schedule: Schedule, service: FakeService, incident: Scenario
) -> None:
    suffers = incident.faults[0].model_copy(update={"mode": NO_FAULT})

    schedule.play(incident.model_copy(update={"faults": (suffers,)}))

    assert service.calls == [(50, RESTORE)]


def test_a_fault_with_an_offset_comes_later(
    schedule: Schedule, service: FakeService, incident: Scenario
) -> None:
    fault = incident.faults[0].model_copy(update={"offset_s": 15})

    schedule.play(incident.model_copy(update={"faults": (fault,)}))

    assert service.calls == [(25, BREAK), (50, RESTORE)]


def test_a_blind_log_does_not_say_what_is_broken(
    blind_schedule: Schedule,
    service: FakeService,
    timeline: Timeline,
    incident: Scenario,
    log: io.StringIO,
) -> None:
    timeline.at(20, service.restart)
    timeline.at(45, service.stop)
    timeline.at(55.5, service.start)

    blind_schedule.play(incident)

    said = log.getvalue()
    assert "fault.reapplied" in said
    assert "fault.revert_pending" in said
    for word in ("incident-b", "profile", "combined", "cache", "hold", "soak", service.url):
        assert word not in said


def shutdown() -> None:
    raise ShutdownRequested(0)
