"""The scenario files: complete, in step with the services, and refused with a clear word when wrong."""

import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

from scenarios.model import FOLDER, MODES, Detect, Scenario, ScenarioError, Step, load, load_all
from scenarios.oracle import routes_of
from scenarios.probes import ROUTES
from scenarios.vocabulary import MECHANISMS, TRIGGERS
from services.common import catalog
from services.common.failure_modes import discover
from services.common.ops import OperatorModel
from services.gateway.settings import GatewayOperatorSettings
from services.inventory.settings import InventoryOperatorSettings
from services.payment.settings import PaymentOperatorSettings
from services.profile.settings import ProfileOperatorSettings

GOOD = (FOLDER / "incident-b.yaml").read_text()
OPERATOR_SETTINGS: dict[str, type[OperatorModel]] = {
    "gateway": GatewayOperatorSettings,
    "inventory": InventoryOperatorSettings,
    "payment": PaymentOperatorSettings,
    "profile": ProfileOperatorSettings,
}


FAULTS = {
    "card-decline": [("payment", "card_range_declined")],
    "connection-leak": [("profile", "pool_saturation")],
    "forgotten-session": [("payment", "account_locked")],
    "incident-b": [("profile", "combined")],
    "inventory-timeout": [("inventory", "lock_held")],
    "missing-index": [("profile", "slow_query")],
    "payment-dns": [("dns", "record_missing"), ("payment", "none")],
    "quiet-night": [],
    "stale-record": [("dns", "record_stale"), ("payment", "none")],
}


def test_the_scenarios_are_there() -> None:
    assert set(load_all()) == set(FAULTS)


@pytest.mark.parametrize(("name", "faults"), FAULTS.items())
def test_each_scenario_breaks_what_its_name_says(name: str, faults: list[tuple[str, str]]) -> None:
    assert [(fault.service, fault.mode) for fault in load_all()[name].faults] == faults


def test_a_person_sees_incident_b_break_and_recover_within_a_minute() -> None:
    timeline = load_all()["incident-b"].timeline

    assert timeline.soak_s + timeline.hold_s <= 50


@pytest.mark.parametrize("scenario", load_all().values(), ids=lambda scenario: scenario.name)
def test_every_scenario_has_a_hint_a_red_herring_and_something_that_must_not_be_done(
    scenario: Scenario,
) -> None:
    assert scenario.red_herrings
    assert scenario.strong_path
    assert [hint.price for hint in scenario.hints] == sorted(hint.price for hint in scenario.hints)
    assert scenario.mitigations.accepted
    assert scenario.mitigations.harmful
    assert not set(scenario.truth.affected) & set(scenario.truth.not_affected)


@pytest.mark.parametrize("scenario", load_all().values(), ids=lambda scenario: scenario.name)
def test_every_route_of_a_scenario_can_be_asked_for_afresh(scenario: Scenario) -> None:
    assert set(routes_of(scenario)) <= set(ROUTES)


@pytest.mark.parametrize("scenario", load_all().values(), ids=lambda scenario: scenario.name)
def test_what_must_not_be_done_is_found_when_it_is_done_and_not_in_what_mends(scenario: Scenario) -> None:
    mending = [step for one in scenario.mitigations.accepted for step in one.steps]

    for harmful in scenario.mitigations.harmful:
        assert not harmful.steps or any(_is_found(harmful.detect, step) for step in harmful.steps), (
            harmful.name
        )
        assert not any(_is_found(harmful.detect, step) for step in mending), harmful.name


def _is_found(detect: Detect, step: Step) -> bool:
    if step.sql is not None:
        return detect.matches_sql(step.sql)
    settings = {f"{step.ops}.{name}": value for name, value in (step.set or {}).items()}
    return any(detect.matches_setting(name, value) for name, value in settings.items())


@pytest.mark.parametrize("scenario", load_all().values(), ids=lambda scenario: scenario.name)
def test_what_a_step_sets_is_a_setting_of_its_service_and_a_value_that_it_takes(scenario: Scenario) -> None:
    for mitigation in (*scenario.mitigations.accepted, *scenario.mitigations.harmful):
        for step in mitigation.steps:
            if step.ops is not None:
                model = OPERATOR_SETTINGS[step.ops]
                assert set(step.set or {}) <= set(model.model_fields)
                model.model_validate(step.set or {})


def test_red_herrings_are_shown_when_the_seed_says_and_never_later_than_allowed() -> None:
    herring = load_all()["payment-dns"].red_herrings[2]
    times = [herring.shown_at_s(seed=seed, number=2) for seed in range(20)]

    assert times == [herring.shown_at_s(seed=seed, number=2) for seed in range(20)]
    assert len(set(times)) == 20
    assert all(herring.offset_s <= at <= herring.offset_s + herring.jitter_s for at in times)


def test_a_candidate_may_know_every_word_and_no_word_is_used_that_is_not_explained() -> None:
    for words in (MECHANISMS, TRIGGERS):
        assert "none" in words
        assert all(re.fullmatch(r"[a-z][a-z-]*", code) and text.endswith(".") for code, text in words.items())


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
        (
            "title:",
            "titel:",
            "titel: unknown field; allowed: bears_on, debrief, difficulty, expected_alerts, faults",
        ),
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
            "allowed: alert-ingestion, dns, ",
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
        ("mechanism: several-reg", "mechanism: sevral-reg", "did you mean 'several-regressions'?"),
        (
            "trigger: release",
            "trigger: reboot",
            "truth.trigger: 'reboot' is no trigger; allowed: batch-job, ",
        ),
        (
            "- ops: profile\n",
            "- ops: profile\n          sql: SELECT 1\n",
            "accepted.0.steps.0.ops|record|sql|wait_s|deploy|report: exactly one of these is needed",
        ),
        ("- ops: profile\n", "- ops: prfile\n", "steps.0.ops: 'prfile' is no ops; allowed: "),
        (
            "        - ops: profile\n          set: {release: 7d3a9e1}\n",
            "        - ops: profile\n",
            "mitigations.accepted.0.steps.0.set: is needed with ops",
        ),
        ('becomes: "off"', "sql: x", "detect.setting|sql|restarted: exactly one of these is needed"),
        ("        above: 5", "", "becomes|above|below: one of these goes with setting"),
        ("metrics: [", "metric: [", "bears_on.metric: unknown field; allowed: metrics, relations, services"),
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
    assert str(error.value).startswith(f"{path}: ")
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
