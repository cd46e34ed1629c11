"""Proof that a scenario is what it says, on a live lab.

The healthy lab passes the oracle; the broken one fails it, and goes on failing it while nobody does anything;
every expected alert fires in time; every cheat is seen through; every accepted mitigation passes; and at the
end the lab is the one from before.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scenarios import baseline as baselines
from scenarios.access import AccessError
from scenarios.baseline import Baseline
from scenarios.cheats import CHEATS, CannotTry, Cheat
from scenarios.model import NO_FAULT, Mitigation, Scenario
from scenarios.oracle import ROUNDS, Verdict, judge, routes_of
from scenarios.stage import Stage
from scenarios.steps import perform

HEALTHY_WITHIN_S = 60.0
SYMPTOM_WITHIN_S = 75.0
MENDED_WITHIN_S = 75.0
POLL_S = 1.0
QUICK_ROUNDS = 2
SETTLE_S = 3.0
ACTOR = "verify"


@dataclass(frozen=True)
class Proof:
    """One thing that was to be proved. ``ok`` is ``None`` where it could not be tried."""

    what: str
    ok: bool | None
    took_s: float
    detail: str = ""


class Verification:
    """Verifies one scenario. ``proofs`` breaks the lab, and puts it back whatever happens."""

    def __init__(
        self,
        scenario: Scenario,
        stage: Stage,
        *,
        seed: int = 1,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._scenario = scenario
        self._stage = stage
        self._seed = seed
        self._clock = clock
        self._sleep = sleep
        self._is_quiet = scenario.truth.component == NO_FAULT

    def proofs(self) -> Iterator[Proof]:
        """Every proof, as soon as it is had. Raises ``AccessError`` when the lab cannot be used."""
        self._stage.require_free()
        before = self._baseline()
        yield from self._of_health(before)
        self._stage.begin(self._scenario)
        try:
            yield from self._of_the_fault(before)
            for cheat in CHEATS:
                yield self._of_cheat(cheat, before)
            for mitigation in self._scenario.mitigations.accepted:
                yield self._of_mitigation(mitigation, before)
        finally:
            self._stage.restore()
            self._stage.end()
        yield from self._of_the_end(before)

    def _baseline(self) -> Baseline:
        """The lab as it is, once all is well or it has had its time."""
        ends_at_s = self._clock() + HEALTHY_WITHIN_S
        while True:
            found = baselines.take(self._stage.lab, routes=routes_of(self._scenario), sleep=self._sleep)
            if not baselines.unwell(found) or self._clock() > ends_at_s:
                return found
            self._sleep(POLL_S)

    def _of_health(self, before: Baseline) -> Iterator[Proof]:
        wrong = baselines.unwell(before)
        yield Proof("the lab is at its baseline", not wrong, 0.0, "; ".join(wrong))
        since = self._clock()
        verdict = self._judged(before, until=True, within_s=HEALTHY_WITHIN_S)
        yield Proof("healthy passes the oracle", verdict.passed, self._clock() - since, _why(verdict))

    def _of_the_fault(self, before: Baseline) -> Iterator[Proof]:
        since = self._clock()
        self._stage.inject(self._scenario)
        self._stage.show_red_herrings(self._scenario, seed=self._seed)
        if self._is_quiet:
            verdict = self._judge(before)
            took_s = self._clock() - since
            yield Proof("red herrings alone pass the oracle", verdict.passed, took_s, _why(verdict))
            return
        verdict = self._judged(before, until=False, within_s=SYMPTOM_WITHIN_S, rounds=QUICK_ROUNDS)
        ill = [name for name in verdict.failed if name.startswith("affected ")]
        yield Proof("injected fails the oracle", bool(ill), self._clock() - since, ", ".join(ill))
        yield from self._of_alerts(since)
        verdict = self._judge(before)
        took_s = self._clock() - since
        yield Proof("doing nothing fails the oracle", not verdict.passed, took_s, _why(verdict))

    def _of_alerts(self, since: float) -> Iterator[Proof]:
        """Every expected alert fires in time."""
        missing = {(one.alert, one.service): one.within_s for one in self._scenario.expected_alerts}
        while missing:
            firing, elapsed_s = self._stage.firing(), self._clock() - since
            for alert in [one for one in missing if one in firing]:
                within_s = missing.pop(alert)
                yield Proof(f"alert {alert[0]} fires", True, elapsed_s, f"allowed: {within_s:g} s")
            for alert in [one for one, within_s in missing.items() if elapsed_s > within_s]:
                within_s = missing.pop(alert)
                yield Proof(f"alert {alert[0]} fires", False, elapsed_s, f"not within {within_s:g} s")
            self._sleep(POLL_S)

    def _of_cheat(self, cheat: Cheat, before: Baseline) -> Proof:
        what, since = f"cheat {cheat.name} fails the oracle", self._clock()
        try:
            with cheat.cheating(self._scenario, self._stage.lab) as seen:
                # One of them may make answers late; the oracle is to see the cheat, not the moment.
                self._sleep(0.5)
                verdict = judge(self._scenario, seen, baseline=before, rounds=QUICK_ROUNDS, sleep=self._sleep)
        except CannotTry as error:
            return Proof(what, None, 0.0, f"not tried: {error}")
        except AccessError as error:
            return Proof(what, False, self._clock() - since, f"could not be done: {error}")
        seen_through = cheat.check in verdict.failed
        detail = next(one.detail for one in verdict.checks if one.name == cheat.check)
        return Proof(what, seen_through and not verdict.passed, self._clock() - since, detail)

    def _of_mitigation(self, mitigation: Mitigation, before: Baseline) -> Proof:
        """On a lab that is broken anew."""
        self._stage.restore()
        self._judged(before, until=True, within_s=HEALTHY_WITHIN_S, rounds=QUICK_ROUNDS)
        self._stage.inject(self._scenario)
        if not self._is_quiet:
            self._judged(before, until=False, within_s=SYMPTOM_WITHIN_S, rounds=QUICK_ROUNDS)
        since = self._clock()
        for step in mitigation.steps:
            perform(step, self._stage.lab, actor=ACTOR, sleep=self._sleep)
        verdict = self._judged(before, until=True, within_s=MENDED_WITHIN_S)
        what = f"mitigation {mitigation.name} passes the oracle"
        return Proof(what, verdict.passed, self._clock() - since, _why(verdict))

    def _of_the_end(self, before: Baseline) -> Iterator[Proof]:
        since = self._clock()
        verdict = self._judged(before, until=True, within_s=HEALTHY_WITHIN_S)
        yield Proof("put back passes the oracle", verdict.passed, self._clock() - since, _why(verdict))
        # Transactions that were under way are ended, and give their stock back, within seconds.
        self._sleep(SETTLE_S)
        after = baselines.take(self._stage.lab)
        different = baselines.differences(before, after)
        detail = "; ".join(different) or f"sha256 {after.digest[:16]}"
        yield Proof("the baseline is the one from before", after.digest == before.digest, 0.0, detail)

    def _judge(self, before: Baseline, *, rounds: int = ROUNDS) -> Verdict:
        return judge(self._scenario, self._stage.lab, baseline=before, rounds=rounds, sleep=self._sleep)

    def _judged(self, before: Baseline, *, until: bool, within_s: float, rounds: int = ROUNDS) -> Verdict:
        """Judge until it passes (or, ``until`` false, until an affected route fails), or the time is up."""
        ends_at_s = self._clock() + within_s
        while True:
            verdict = self._judge(before, rounds=rounds)
            is_there = verdict.passed if until else any(one.startswith("affected ") for one in verdict.failed)
            if is_there or self._clock() > ends_at_s:
                return verdict
            self._sleep(POLL_S)


def _why(verdict: Verdict) -> str:
    return "; ".join(f"{one.name}: {one.detail}" for one in verdict.checks if not one.ok)
