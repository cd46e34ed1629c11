"""What the verification of a scenario proves, and what it says of a lab in which it does not hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from scenarios import baseline as baselines
from scenarios import verify
from scenarios.access import AccessError
from scenarios.baseline import Baseline
from scenarios.cheats import CannotTry, Cheat
from scenarios.model import Scenario, load_all
from scenarios.oracle import Check, Verdict
from scenarios.stage import Stage
from scenarios.verify import Verification

CARD_DECLINE = load_all()["card-decline"]
QUIET = load_all()["quiet-night"]
CHEAT = "the-cheat"
ALERTS = [f"alert {one.alert} fires" for one in CARD_DECLINE.expected_alerts]
MITIGATIONS = [f"mitigation {one.name} passes the oracle" for one in CARD_DECLINE.mitigations.accepted]
BASELINE = Baseline(
    settings={},
    set_by_operators=(),
    releases={},
    records={},
    rules="the rules",
    planned_per_s=4.0,
    schema_digest="the schema",
    reference={},
    conserved={},
    rows={},
)


@dataclass
class Lab:
    """A stage and the lab on it, of which each part does what it should unless a test says otherwise."""

    broken_at_s: float | None = None
    set_by_operators: tuple[str, ...] = ()
    takes_faults: bool = True
    red_herrings_hurt: bool = False
    heals_after_s: float = float("inf")
    alerts_fire: bool = True
    cheating: Exception | None = None
    cheat_is_seen: bool = True
    mends: bool = True
    goes_back: bool = True
    leaves: str = ""
    now_s: float = 0.0
    is_cheated: bool = False
    done: list[str] = field(default_factory=list)

    @property
    def lab(self) -> "Lab":
        return self

    @property
    def is_ill(self) -> bool:
        return self.broken_at_s is not None and self.now_s < self.broken_at_s + self.heals_after_s

    def require_free(self) -> None:
        self.done.append("asked")

    def begin(self, _scenario: Scenario) -> None:
        self.done.append("begun")

    def inject(self, scenario: Scenario) -> None:
        if not self.takes_faults:
            raise AccessError("payment: no answer")
        if scenario.faults:
            self.broken_at_s = self.now_s

    def show_red_herrings(self, _scenario: Scenario, *, seed: int) -> None:
        if self.red_herrings_hurt:
            self.broken_at_s = self.now_s

    def firing(self) -> set[tuple[str, str]]:
        fires = self.is_ill and self.alerts_fire
        return {(one.alert, one.service) for one in CARD_DECLINE.expected_alerts} if fires else set()

    def restore(self) -> None:
        self.done.append("restored")
        if self.goes_back:
            self.broken_at_s = None

    def end(self) -> None:
        self.done.append("ended")

    def sleep(self, duration_s: float) -> None:
        self.now_s += duration_s


def judge(scenario: Scenario, lab: Lab, **_: object) -> Verdict:
    """The oracle's verdict on such a lab: on its routes, and whether it sees through the cheat."""
    checks = [
        Check(name="affected POST /checkout", ok=not lab.is_ill),
        Check(name="traffic", ok=not (lab.is_cheated and lab.cheat_is_seen)),
    ]
    return Verdict(passed=all(check.ok for check in checks), checks=tuple(checks))


def take(lab: Lab, **_: object) -> Baseline:
    """Its baseline, and what is left in its schema once somebody has been there."""
    schema = BASELINE.schema_digest + (lab.leaves if "ended" in lab.done else "")
    return BASELINE.model_copy(update={"schema_digest": schema, "set_by_operators": lab.set_by_operators})


def perform(_step: object, lab: Lab, **_: object) -> None:
    if lab.mends:
        lab.broken_at_s = None


@contextmanager
def cheating(_scenario: Scenario, lab: Any) -> Iterator[Any]:
    if lab.cheating is not None:
        raise lab.cheating
    lab.is_cheated = True
    yield lab
    lab.is_cheated = False


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked over a network: the lab is the one above."""
    monkeypatch.setattr(verify, "CHEATS", (Cheat(CHEAT, "traffic", cheating),))
    monkeypatch.setattr(verify, "judge", judge)
    monkeypatch.setattr(verify, "perform", perform)
    monkeypatch.setattr(baselines, "take", take)


def verification(lab: Lab, scenario: Scenario = CARD_DECLINE) -> Verification:
    return Verification(scenario, cast(Stage, lab), clock=lambda: lab.now_s, sleep=lab.sleep)


@pytest.mark.parametrize("scenario", [CARD_DECLINE, QUIET], ids=lambda one: one.name)
def test_a_scenario_that_is_what_it_says_is_proved(scenario: Scenario) -> None:
    lab = Lab()

    proofs = list(verification(lab, scenario).proofs())

    assert {proof.ok for proof in proofs} == {True}
    assert lab.done[:2] == ["asked", "begun"]
    assert lab.done[-2:] == ["restored", "ended"]


@pytest.mark.parametrize(
    ("flaw", "wrong"),
    [
        ({"set_by_operators": ("payment.deadline_s",)}, ["the lab is at its baseline"]),
        ({"broken_at_s": 0.0}, ["healthy passes the oracle"]),
        (
            {"heals_after_s": 0.0},
            ["injected fails the oracle", *ALERTS, "doing nothing fails the oracle"],
        ),
        ({"heals_after_s": 0.5}, ["doing nothing fails the oracle"]),
        ({"alerts_fire": False}, ALERTS),
        ({"cheating": AccessError("payment: no answer")}, [f"cheat {CHEAT} fails the oracle"]),
        ({"cheat_is_seen": False}, [f"cheat {CHEAT} fails the oracle"]),
        ({"mends": False}, MITIGATIONS),
        ({"mends": False, "goes_back": False}, [*MITIGATIONS, "put back passes the oracle"]),
        ({"leaves": " and an index"}, ["the baseline is the one from before"]),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, dict) else None,
)
def test_what_is_not_as_the_scenario_says_is_said_and_the_rest_is_proved_all_the_same(
    flaw: dict[str, Any], wrong: list[str]
) -> None:
    proofs = list(verification(Lab(**flaw)).proofs())

    assert [proof.what for proof in proofs if not proof.ok] == wrong
    assert len(proofs) == len(list(verification(Lab()).proofs()))


def test_red_herrings_that_hurt_somebody_on_a_quiet_night_are_said() -> None:
    proofs = verification(Lab(red_herrings_hurt=True), QUIET).proofs()

    assert [proof.what for proof in proofs if not proof.ok] == ["red herrings alone pass the oracle"]


def test_a_cheat_that_this_lab_gives_no_hold_for_is_neither_proved_nor_disproved() -> None:
    proofs = verification(Lab(cheating=CannotTry("no superuser"))).proofs()

    assert [(proof.what, proof.detail) for proof in proofs if proof.ok is None] == [
        (f"cheat {CHEAT} fails the oracle", "not tried: no superuser")
    ]


def test_a_lab_that_does_not_take_the_fault_is_put_back_all_the_same() -> None:
    lab = Lab(takes_faults=False)

    with pytest.raises(AccessError):
        list(verification(lab).proofs())

    assert lab.done == ["asked", "begun", "restored", "ended"]
