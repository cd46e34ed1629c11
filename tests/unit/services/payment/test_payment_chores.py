"""What the payment service does beside its requests: no error ends it, and the log names the chore."""

import asyncio
from uuid import UUID

import pytest
from structlog.testing import capture_logs

from services.common.client import Dependency
from services.common.ops import OperatorSettings
from services.payment import processor
from services.payment.processor import Processor
from services.payment.settings import PaymentOperatorSettings, PaymentSettings

NOWHERE = "http://127.0.0.1:1"


class BrokenLedger:
    """A ledger whose every first answer is an error that nobody has foreseen."""

    def __init__(self) -> None:
        self.asked = {"releases": 0, "orphans": 0}

    def due_releases(self, *, limit: int) -> list[UUID]:
        self._ask("releases")
        return []

    def fail_orphans(self) -> int:
        self._ask("orphans")
        return 0

    def _ask(self, what: str) -> None:
        self.asked[what] += 1
        if self.asked[what] == 1:
            raise KeyError(what)


async def let_it_work(ledger: BrokenLedger) -> None:
    """Let the chores be done for a quarter of a second."""
    working = Processor(
        ledger,  # type: ignore[arg-type]
        fraud=Dependency("fraud", NOWHERE, service="payment"),
        inventory=Dependency("inventory", NOWHERE, service="payment"),
        operator=OperatorSettings("payment", PaymentOperatorSettings(), database=None),
        settings=PaymentSettings(),
    )
    async with working.releasing():
        await asyncio.sleep(0.25)


def test_an_unforeseen_error_ends_no_chore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "RELEASE_EVERY_S", 0.01)
    monkeypatch.setattr(processor, "ORPHANS_EVERY_S", 0.01)
    ledger = BrokenLedger()

    with capture_logs() as lines:
        asyncio.run(let_it_work(ledger))

    assert min(ledger.asked.values()) > 2
    failed = {(line["event"], line["error"]) for line in lines if line["event"].endswith(".failed")}
    assert failed == {
        ("stock.release.failed", "KeyError('releases')"),
        ("orphans.end.failed", "KeyError('orphans')"),
    }
