"""What the payment service's failure modes act on, and what is put back to the baseline."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread

from services.common import indexes
from services.common.client import InternalNames
from services.common.database import Database
from services.common.held_locks import HeldLocks, Job
from services.common.ops import OperatorSettings
from services.payment.ledger import Ledger
from services.payment.report import NightlyReport
from services.payment.settings import PaymentOperatorSettings

BACK_OFFICE = "back-office"
CORRECT_ACCOUNT = "UPDATE payment.account_balances SET updated_at = now() WHERE customer_id = %(customer_id)s"


class PaymentWorld:
    """The acquirers, the back office's session, the names that are remembered, the nightly report."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        database: Database,
        names: InternalNames,
        operator: OperatorSettings[PaymentOperatorSettings],
    ) -> None:
        self.ledger = ledger
        self.report = NightlyReport(database.url)
        self._database = database
        self._names = names
        self._operator = operator
        self._correction = Job(
            self._new_correction, is_allowed=lambda: operator.in_force.back_office != "closed"
        )

    @asynccontextmanager
    async def closing(self) -> AsyncIterator[None]:
        """End the sessions beside the pool when the service ends."""
        yield
        await to_thread.run_sync(self.end_correction)
        self.report.stop()

    def follow(self, settings: PaymentOperatorSettings) -> None:
        """Do as an operator says."""
        self._names.remembers = settings.remember_addresses
        self._correction.follow()

    def correct_account(self, customer_id: int) -> None:
        """The back office corrects an account and does not commit, unless an operator has closed it."""
        self._correction.start({"customer_id": customer_id})

    def end_correction(self) -> None:
        """End the back office's session if there is one, and wait for its end."""
        self._correction.end()

    def restore(self) -> None:
        """What a process that died or a person may have left behind."""
        self.report.stop()
        self._names.forget()
        self.ledger.let_all_acquirers_accept()
        indexes.drop_added(self._database, schema="payment")

    def _new_correction(self) -> HeldLocks:
        return HeldLocks(
            self._database.url,
            application_name=BACK_OFFICE,
            statement=CORRECT_ACCOUNT,
            on_ended=self._record_that_it_was_ended,
        )

    def _record_that_it_was_ended(self) -> None:
        self._operator.change({"back_office": "closed"}, actor="postgres-session-ended")
