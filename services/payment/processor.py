"""How a payment or a refund goes: note it down, check it, reserve stock, move the money."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from uuid import UUID, uuid4

import httpx
import structlog
from anyio import to_thread
from sqlalchemy.exc import SQLAlchemyError

from services.common import deadline, triggers
from services.common.client import Dependency
from services.common.errors import (
    Conflict,
    DeadlineExceeded,
    Forbidden,
    NotFound,
    ServiceError,
    Unavailable,
    Unprocessable,
    UpstreamFailed,
)
from services.common.ops import OperatorSettings
from services.common.poller import Poller
from services.payment.ledger import Attempt, Idempotency, Ledger, Replay, declined
from services.payment.schemas import Item, PaymentRequest, RefundRequest, Transaction
from services.payment.settings import PaymentOperatorSettings, PaymentSettings

log = structlog.get_logger()

REFUND_CHECKED_ABOVE = Decimal(1000)
RELEASE_EVERY_S = 0.5
RELEASE_TIMEOUT_S = 3.0
RELEASE_BATCH = 20
ORPHANS_EVERY_S = 5.0


class Processor:
    """Payments and refunds over the ledger, the fraud check and the inventory."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        fraud: Dependency,
        inventory: Dependency,
        operator: OperatorSettings[PaymentOperatorSettings],
        settings: PaymentSettings,
    ) -> None:
        self._ledger = ledger
        self._fraud = fraud
        self._inventory = inventory
        self._operator = operator
        self._settings = settings

    def follow(self, settings: PaymentOperatorSettings) -> None:
        """Switch the breakers as an operator says."""
        for dependency in (self._fraud, self._inventory):
            dependency.breaker.enabled = settings.breaker == "on"

    async def pay(self, request: PaymentRequest, *, key: str | None) -> Transaction | Replay:
        """Take a payment. Raises ``ServiceError`` for what is refused; then nothing has moved."""
        deadline.shorten(self._operator.in_force.deadline_s)
        attempt = await to_thread.run_sync(
            lambda: self._ledger.begin(
                "payment",
                customer_id=request.customer_id,
                amount=request.amount,
                reservation_id=uuid4() if request.items else None,
                idempotency=Idempotency.of("/api/payment", key, request),
            )
        )
        if isinstance(attempt, Replay):
            return attempt
        async with self._ending_on_failure(attempt):
            review = await self._check_fraud(attempt, needed=True)
            if attempt.reservation_id is not None:
                await self._reserve(attempt.reservation_id, request.items)
            settings = self._operator.in_force
            if triggers.current(self._settings) == triggers.ORDER_FAIL_PAY:
                raise declined(settings.acquirer)
            return await to_thread.run_sync(
                lambda: self._ledger.capture_payment(
                    attempt,
                    acquirer=settings.acquirer,
                    review=review,
                    backup_card_ranges=settings.backup_card_ranges,
                )
            )

    async def refund(self, request: RefundRequest, *, key: str | None) -> Transaction | Replay:
        """Give money back. Raises ``ServiceError`` for what is refused; then nothing has moved."""
        deadline.shorten(self._operator.in_force.deadline_s)
        attempt = await to_thread.run_sync(
            lambda: self._ledger.begin(
                "refund",
                customer_id=request.customer_id,
                amount=request.amount,
                reservation_id=None,
                idempotency=Idempotency.of("/api/refund", key, request),
            )
        )
        if isinstance(attempt, Replay):
            return attempt
        async with self._ending_on_failure(attempt):
            review = await self._check_fraud(attempt, needed=request.amount > REFUND_CHECKED_ABOVE)
            return await to_thread.run_sync(
                lambda: self._ledger.capture_refund(
                    attempt, transaction_id=request.transaction_id, review=review
                )
            )

    @asynccontextmanager
    async def releasing(self) -> AsyncIterator[None]:
        """Give stock back for payments that ended without it, while the block lasts."""
        releases = Poller("stock.release", self._release_due, every_s=RELEASE_EVERY_S)
        orphans = Poller("orphans.end", self._fail_orphans, every_s=ORPHANS_EVERY_S)
        try:
            async with releases.running(), orphans.running():
                yield
        finally:
            await self._fraud.aclose()
            await self._inventory.aclose()

    async def _check_fraud(self, attempt: Attempt, *, needed: bool) -> str | None:
        """Ask for the check if there has to be one; returns why a review is due, if one is."""
        settings = self._operator.in_force
        if attempt.trusted or not needed or settings.fraud_policy == "off":
            return None
        question = {
            "customer_id": attempt.customer_id,
            "kind": attempt.kind,
            "amount": str(attempt.amount),
        }
        try:
            answer = await self._fraud.call(
                "POST", "/v1/check", at_most_s=settings.fraud_deadline_s, json=question
            )
            if answer.status_code != 200:
                raise UpstreamFailed(f"fraud: status {answer.status_code}", status=503)
        except (Unavailable, DeadlineExceeded, UpstreamFailed) as error:
            if settings.fraud_policy == "degraded" and attempt.amount <= settings.degraded_limit:
                log.warning("fraud.unchecked", transaction_id=attempt.transaction_id, reason=error.detail)
                return f"not checked: {error.detail}"
            log.error("fraud.check_failed", transaction_id=attempt.transaction_id, error=error.detail)
            raise
        if answer.json()["decision"] != "approve":
            raise Forbidden("the fraud check refused this")
        return None

    async def _reserve(self, reservation_id: UUID, items: list[Item]) -> None:
        answer = await self._inventory.call(
            "POST",
            "/api/inventory/reserve",
            at_most_s=self._operator.in_force.inventory_deadline_s,
            json={
                "reservation_id": str(reservation_id),
                "items": [item.model_dump() for item in items],
            },
        )
        if answer.status_code == 200:
            return
        detail = f"inventory: {_reason(answer)}"
        log.error("inventory.reserve_failed", status=answer.status_code, error=detail)
        match answer.status_code:
            case 404:
                raise NotFound(detail)
            case 409:
                raise Conflict(detail)
            case 504:
                raise DeadlineExceeded(detail)
            case status if status < 500:
                raise Unprocessable(detail)
            case _:
                raise Unavailable(detail)

    @asynccontextmanager
    async def _ending_on_failure(self, attempt: Attempt) -> AsyncIterator[None]:
        """Whatever goes wrong in the block, the movement is ended and its reservation given back."""
        try:
            yield
        except Exception as error:
            is_definite = isinstance(error, ServiceError) and error.status < 500
            status = "declined" if is_definite or isinstance(error, ValueError) else "failed"
            answer = Replay(error.status, {"detail": error.detail}) if is_definite else None  # type: ignore[attr-defined]
            reason = error.detail if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"
            try:
                await to_thread.run_sync(
                    lambda: self._ledger.fail(attempt, status=status, reason=reason[:500], answer=answer)
                )
            except SQLAlchemyError as failure:
                # It stays pending, and is ended as an orphan once the database is back.
                log.error("ledger.end_postponed", transaction_id=attempt.transaction_id, error=str(failure))
            raise

    async def _release_due(self) -> None:
        due = await to_thread.run_sync(lambda: self._ledger.due_releases(limit=RELEASE_BATCH))
        for reservation_id in due:
            answer = await self._inventory.call(
                "POST",
                "/api/inventory/release",
                at_most_s=RELEASE_TIMEOUT_S,
                json={"reservation_id": str(reservation_id)},
            )
            if answer.status_code != 200:
                log.warning("inventory.release_postponed", status=answer.status_code)
                return
            await to_thread.run_sync(self._ledger.released, reservation_id)

    async def _fail_orphans(self) -> None:
        orphans = await to_thread.run_sync(self._ledger.fail_orphans)
        if orphans:
            log.warning("ledger.orphans_ended", count=orphans)


def _reason(answer: httpx.Response) -> str:
    """What an answer says is wrong, or its beginning: who stands before inventory may answer for it."""
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]
