"""The scenario files: complete, in step with the services, and refused with a clear word when wrong."""

import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

from scenarios.model import FOLDER, MODES, Scenario, ScenarioError, load, load_all
from services.common import catalog
from services.common.failure_modes import discover

GOOD = (FOLDER / "incident-b.yaml").read_text()


def test_the_four_scenarios_are_there() -> None:
    assert set(load_all()) == {"incident-b", "payment-dns", "inventory-timeout", "quiet-night"}


@pytest.mark.parametrize(
    ("name", "faults"),
    [
        ("incident-b", [("profile", "combined")]),
        ("payment-dns", [("dns", "record_missing")]),
        ("inventory-timeout", [("inventory", "lock_held")]),
        ("quiet-night", []),
    ],
)
def test_each_scenario_breaks_what_its_name_says(name: str, faults: list[tuple[str, str]]) -> None:
    assert [(fault.service, fault.mode) for fault in load_all()[name].faults] == faults


def test_a_person_sees_incident_b_break_and_recover_within_a_minute() -> None:
    timeline = load_all()["incident-b"].timeline

    assert timeline.soak_s + timeline.hold_s <= 50


@pytest.mark.parametrize("scenario", load_all().values(), ids=lambda scenario: scenario.name)
def test_every_scenario_has_a_hint_a_red_herring_and_something_that_must_not_be_done(
    scenario: Scenario,
) -> None:
    assert scenario.hints
    assert scenario.red_herrings
    assert scenario.mitigations.accepted
    assert scenario.mitigations.harmful
    assert not set(scenario.truth.affected) & set(scenario.truth.not_affected)


@pytest.mark.parametrize("service", sorted(MODES))
def test_the_modes_that_scenarios_may_name_are_those_that_the_service_has(service: str) -> None:
    package = import_module(f"services.{catalog.service(service).package}.failure_modes")

    assert set(discover(package)) == {"none", *MODES[service]}


def test_no_other_service_has_failure_modes() -> None:
    packages = [import_module(f"services.{service.package}") for service in catalog.SERVICES]
    breakable = {
        package.__name__.rpartition(".")[2]
        for package in packages
        if "failure_modes" in [module.name for module in pkgutil.iter_modules(package.__path__)]
    }

    assert breakable == set(MODES)


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("soak_s: 10", "sok_s: 10", "timeline.sok_s: unknown field; allowed: hold_s, rest_s, soak_s"),
        ("soak_s: 10", "sok_s: 10", "timeline.soak_s: is missing"),
        ("title:", "titel:", "titel: unknown field; allowed: difficulty, expected_alerts, faults"),
        ("mode: combined", "mode: lock_held", "faults.0.mode: 'lock_held' is no mode of profile; allowed: "),
        ("mode: combined", "mode: combind", "did you mean 'combined'?"),
        (
            "- service: profile\n    mode",
            "- service: prfile\n    mode",
            "faults.0.service: 'prfile' is no service",
        ),
        (
            "- service: profile\n    mode",
            "- service: prfile\n    mode",
            "allowed: alert-ingestion, dns, fraud",
        ),
        ("hold_s: 40", "hold_s: -1", "timeline.hold_s: -1 is not allowed"),
        ("hold_s: 40", "hold_s: soon", "timeline.hold_s: 'soon' is not allowed"),
        ("hold_s: 40", "hold_s: .inf", "timeline.hold_s: inf is not allowed"),
        ("hold_s: 40", "hold_s: 30", "expected_alerts.0.within_s: must not exceed timeline.hold_s (30)"),
        ("mode: combined", "mode: combined\n    offset_s: 40", "faults.0.offset_s: must be below"),
        (
            "difficulty: medium",
            "difficulty: mid",
            "'mid' is not allowed; allowed: 'easy', 'medium' or 'hard'",
        ),
        ("kind: deploy", "kind: x", "red_herrings.0.kind: 'x' is not allowed; allowed: 'deploy', 'metric'"),
        ("price: 5", "price: -5", "hints.0.price: -5 is not allowed"),
        (
            "- GET /api/users",
            "- /api/users",
            "truth.affected.0: '/api/users/profile/{user_id}' is not allowed",
        ),
        ("component: profile", "component: cache", "truth.component: 'cache' is no component; allowed: "),
        ("component: profile", "component: none", "truth.component: must be 'none' where no fault is"),
        ("mode: combined", "mode: none", "expected_alerts: must be empty where no fault is"),
        ("name: incident-b", "name: incident-c", "name: 'incident-c' is not the file's name"),
        ("faults:", "faults: [", "cannot be read"),
    ],
)
def test_what_is_wrong_is_said_with_the_file_the_field_and_what_is_allowed(
    tmp_path: Path, good: str, bad: str, said: str
) -> None:
    path = tmp_path / "incident-b.yaml"
    path.write_text(GOOD.replace(good, bad, 1))

    with pytest.raises(ScenarioError) as error:
        load(path)

    assert good in GOOD
    assert all(line.startswith(f"{path}: ") for line in str(error.value).splitlines()[:1])
    assert said in str(error.value)


def test_the_example_in_the_guide_can_be_loaded(tmp_path: Path) -> None:
    guide = (FOLDER.parent / "docs" / "adding-a-scenario.md").read_text()
    path = tmp_path / "slow-search.yaml"
    path.write_text(guide.partition("```yaml\n")[2].partition("```")[0])

    assert load(path).name == "slow-search"


def test_everything_that_is_wrong_in_a_folder_is_said_at_once(tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("just words")
    (tmp_path / "two.yaml").write_text("name: two")

    with pytest.raises(ScenarioError) as error:
        load_all(tmp_path)

    assert f"{tmp_path / 'one.yaml'}: a mapping is needed" in str(error.value)
    assert f"{tmp_path / 'two.yaml'}: faults: is missing" in str(error.value)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"[]", b"a: !!python/object:os.system {}"])
def test_a_file_that_is_no_scenario_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "odd.yaml"
    path.write_bytes(content)

    with pytest.raises(ScenarioError, match=r"odd\.yaml"):
        load(path)


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="cannot be read"):
        load(tmp_path / "none-such.yaml")
