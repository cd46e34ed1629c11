"""The phase that is on, as Prometheus reads it, and what a blind lab shows in its place."""

import httpx

from embedded.free_ports import free_port
from scenarios.model import load_all
from scenarios.phase_metric import exposed
from scenarios.records import Phase


def shown(current: list[Phase], *, blind: bool) -> str:
    port = free_port()
    phase = current[0] if current else None
    with exposed(lambda: phase, address="127.0.0.1", port=port, blind=blind):
        return httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).raise_for_status().text


def hold() -> Phase:
    return Phase(load_all()["incident-b"], "hold", started_s=0.0)


def test_the_phase_that_is_on_is_shown() -> None:
    assert 'lab_phase{phase="hold",scenario="incident-b"} 1.0' in shown([hold()], blind=False)


def test_between_phases_none_is_shown() -> None:
    assert "lab_phase{" not in shown([], blind=False)


def test_a_blind_lab_shows_nothing() -> None:
    assert shown([hold()], blind=True).strip() == ""
