"""The ledger: each movement of money is one transaction, once, and money is conserved.

The sum of the balances and of what is settled (captured payments less
captured refunds) never changes.
"""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from pydantic import BaseModel
from sqlalchemy import ColumnElement, Connection, Select, func, select, update
from sqlalchemy.dialects.postgresql import insert

from services.common.database import Database
from services.common.errors import Conflict, DeadlineExceeded, NotFound, PaymentRequired, Unprocessable
from services.payment.schemas import Transaction
from services.payment.tables import (
    account_balances,
    acquirers,
    customers,
    fraud_reviews,
    idempotency_keys,
    payment_methods,
    releases,
    transactions,
)

LEASE = timedelta(seconds=30)
"""After this long a movement that is still pending belongs to a process that died."""

BACKUP = "backup"
Kind = Literal["payment", "refund"]


@dataclass(frozen=True)
class Idempotency:
    """The key that a client gave with a request, and what it asked for."""

    route: str
    key: str
    request_hash: str

    @classmethod
    def of(cls, route: str, key: str | None, body: BaseModel) -> "Idempotency | None":
        """``None`` without a key."""
        if key is None:
            return None
        return cls(route, key, hashlib.sha256(body.model_dump_json().encode()).hexdigest())


@dataclass(frozen=True)
class Replay:
    """The answer that this key had before."""

    status: int
    body: dict[str, Any]


@dataclass(frozen=True)
class Claim:
    """A request's hold on its key; ``since`` tells it from a later request's hold on the same key."""

    idempotency: Idempotency
    since: datetime


@dataclass(frozen=True)
class Attempt:
    """A movement that has begun: pending until it is captured or failed."""

    transaction_id: int
    customer_id: int
    trusted: bool
    kind: Kind
    amount: Decimal
    reservation_id: UUID | None
    claim: Claim | None


class Ledger:
    """The ledger in Postgres."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        kind: Kind,
        *,
        customer_id: int,
        amount: Decimal,
        reservation_id: UUID | None,
        idempotency: Idempotency | None,
    ) -> Attempt | Replay:
        """Note down a movement before anything is asked or moved for it.

        Raises ``NotFound`` for an unknown customer, ``Conflict`` while another
        request with the same key is under way, ``Unprocessable`` when the key
        came with another request before.
        """
        with self._database.transaction() as db:
            trusted = db.scalar(select(customers.c.trusted).where(customers.c.id == customer_id))
            if trusted is None:
                raise NotFound(f"no customer {customer_id}")
            claim = self._claim(db, idempotency) if idempotency else None
            if isinstance(claim, Replay):
                return claim
            transaction_id = db.scalar(
                insert(transactions)
                .values(
                    kind=kind,
                    customer_id=customer_id,
                    amount=amount,
                    status="pending",
                    reservation_id=reservation_id,
                )
                .returning(transactions.c.id)
            )
            assert transaction_id is not None
        return Attempt(transaction_id, customer_id, trusted, kind, amount, reservation_id, claim)

    def capture_payment(
        self,
        attempt: Attempt,
        *,
        acquirer: str,
        review: str | None,
        backup_card_ranges: Collection[str] = (),
    ) -> Transaction:
        """Authorise at the acquirer and move the money; ``review`` queues a fraud review with that reason.

        Cards of ``backup_card_ranges`` go to the backup acquirer, whichever it is for the others.
        Raises ``PaymentRequired`` when the account holds too little,
        ``ValueError`` when the acquirer declines, ``DeadlineExceeded`` when the
        attempt was given up before.
        """
        with self._database.transaction() as db:
            card_range = db.scalar(_card_range_of(attempt.customer_id))
            asked = BACKUP if card_range in backup_card_ranges else acquirer
            rules = db.execute(select(acquirers).where(acquirers.c.name == asked)).one()
            if not rules.accepts:
                raise declined(asked)
            if card_range is not None and card_range in rules.refused_card_ranges:
                raise refused(asked, card_range)
            self._move(db, attempt, -attempt.amount)
            return self._capture(db, attempt, review=review, refundable=attempt.amount)

    def capture_refund(
        self, attempt: Attempt, *, transaction_id: int | None, review: str | None
    ) -> Transaction:
        """Take the refund out of a payment and give the money back.

        Raises ``NotFound`` when the customer has no such transaction,
        ``Conflict`` when no payment has so much left, ``DeadlineExceeded`` when
        the attempt was given up before.
        """
        with self._database.transaction() as db:
            payment_id = self._payment_to_refund(db, attempt, transaction_id)
            db.execute(
                update(transactions)
                .where(transactions.c.id == payment_id)
                .values(refundable=transactions.c.refundable - attempt.amount)
            )
            self._move(db, attempt, attempt.amount)
            return self._capture(db, attempt, review=review, refund_of=payment_id)

    def fail(self, attempt: Attempt, *, status: str, reason: str, answer: Replay | None) -> None:
        """End a movement without moving money, and give its reservation back.

        ``answer`` is what a repeated request shall get; without one, it is tried anew.
        """
        with self._database.transaction() as db:
            ended = self._end(db, [attempt.transaction_id], status=status, reason=reason)
            # What is not pending any more was captured after all, or given up; then the key's answer stands.
            if not ended or attempt.claim is None:
                return
            if answer is None:
                db.execute(idempotency_keys.delete().where(*_holds(attempt.claim)))
            else:
                self._remember(db, attempt.claim, answer)

    def fail_orphans(self) -> int:
        """End the movements of processes that died in the middle; returns how many."""
        t = transactions.c
        with self._database.transaction() as db:
            orphans = db.scalars(
                select(t.id)
                .where(t.status == "pending", t.created_at < func.now() - LEASE)
                .with_for_update(skip_locked=True)
            ).all()
            self._end(db, orphans, status="failed", reason="interrupted")
        return len(orphans)

    def due_releases(self, *, limit: int) -> list[UUID]:
        """Reservations that are still to be given back, oldest first."""
        with self._database.transaction() as db:
            due = select(releases.c.reservation_id).where(releases.c.released_at.is_(None))
            return list(db.scalars(due.order_by(releases.c.created_at).limit(limit)))

    def released(self, reservation_id: UUID) -> None:
        """Note that inventory has taken a reservation back."""
        with self._database.transaction() as db:
            db.execute(
                update(releases)
                .where(releases.c.reservation_id == reservation_id)
                .values(released_at=func.now())
            )

    def set_acceptance(self, acquirer: str, *, accepts: bool) -> None:
        """Whether an acquirer authorises our payments."""
        with self._database.transaction() as db:
            db.execute(update(acquirers).where(acquirers.c.name == acquirer).values(accepts=accepts))

    def set_refusals(self, acquirer: str, *, card_ranges: Sequence[str]) -> None:
        """The ranges of cards that an acquirer refuses, beside everything else it does."""
        with self._database.transaction() as db:
            db.execute(
                update(acquirers)
                .where(acquirers.c.name == acquirer)
                .values(refused_card_ranges=list(card_ranges))
            )

    def let_all_acquirers_accept(self) -> None:
        """The healthy world, whatever a process that died had left behind.

        Outside the pool: it must work while that is exhausted.
        """
        with self._database.control_transaction() as db:
            db.execute(update(acquirers).values(accepts=True, refused_card_ranges=[]))

    def _claim(self, db: Connection, idempotency: Idempotency) -> Claim | Replay:
        k = idempotency_keys.c
        since = db.scalar(
            insert(idempotency_keys)
            .values(route=idempotency.route, key=idempotency.key, request_hash=idempotency.request_hash)
            .on_conflict_do_nothing()
            .returning(k.started_at)
        )
        if since is not None:
            return Claim(idempotency, since)
        before = db.execute(
            select(
                k.request_hash,
                k.response_status,
                k.response_body,
                (k.started_at < func.now() - LEASE).label("is_stale"),
            )
            .where(*_is(idempotency))
            .with_for_update()
        ).one_or_none()
        if before is None:
            raise Conflict("a request with this Idempotency-Key has just failed: send it again")
        if before.request_hash != idempotency.request_hash:
            raise Unprocessable("this Idempotency-Key was used for a different request")
        if before.response_status is not None:
            return Replay(before.response_status, before.response_body)
        if not before.is_stale:
            raise Conflict("a request with this Idempotency-Key is still under way")
        taken_over = update(idempotency_keys).where(*_is(idempotency)).values(started_at=func.now())
        return Claim(idempotency, db.execute(taken_over.returning(k.started_at)).scalar_one())

    def _move(self, db: Connection, attempt: Attempt, amount: Decimal) -> None:
        b = account_balances.c
        moved = db.execute(
            update(account_balances)
            .where(b.customer_id == attempt.customer_id, b.balance + amount >= 0)
            .values(balance=b.balance + amount, updated_at=func.now())
        )
        if moved.rowcount != 1:
            raise PaymentRequired("insufficient funds")

    def _capture(self, db: Connection, attempt: Attempt, *, review: str | None, **values: Any) -> Transaction:
        t = transactions.c
        row = db.execute(
            update(transactions)
            .where(t.id == attempt.transaction_id, t.status == "pending")
            .values(status="captured", completed_at=func.now(), **values)
            .returning(*transactions.c)
        ).one_or_none()
        if row is None:
            raise _given_up(attempt)
        captured = Transaction.model_validate(row)
        if review is not None:
            db.execute(insert(fraud_reviews).values(transaction_id=captured.id, reason=review))
        answer = Replay(201, captured.model_dump(mode="json"))
        if attempt.claim is not None and not self._remember(db, attempt.claim, answer):
            raise _given_up(attempt)
        return captured

    def _payment_to_refund(self, db: Connection, attempt: Attempt, transaction_id: int | None) -> int:
        t = transactions.c
        fits = [
            t.customer_id == attempt.customer_id,
            t.kind == "payment",
            t.status == "captured",
            t.refundable >= attempt.amount,
        ]
        if transaction_id is not None:
            known = db.scalar(
                select(t.id).where(t.id == transaction_id, t.customer_id == attempt.customer_id)
            )
            if known is None:
                raise NotFound(f"customer {attempt.customer_id} has no transaction {transaction_id}")
            fits.append(t.id == transaction_id)
        # One refund of a customer at a time: the next one must see what this one has left.
        accounts = account_balances.c
        db.execute(
            select(accounts.balance).where(accounts.customer_id == attempt.customer_id).with_for_update()
        )
        payment_id: int | None = db.scalar(
            select(t.id).where(*fits).order_by(t.refundable, t.id.desc()).limit(1)
        )
        if payment_id is None:
            raise Conflict("no payment has so much left to refund")
        return payment_id

    def _end(self, db: Connection, ids: Sequence[int], *, status: str, reason: str) -> int:
        """End those that are pending, and queue the release of what they reserved; returns how many."""
        t = transactions.c
        ended = db.scalars(
            update(transactions)
            .where(t.id.in_(ids), t.status == "pending")
            .values(status=status, reason=reason, completed_at=func.now())
            .returning(t.reservation_id)
        ).all()
        due = [{"reservation_id": reservation} for reservation in ended if reservation is not None]
        if due:
            db.execute(insert(releases).on_conflict_do_nothing(), due)
        return len(ended)

    def _remember(self, db: Connection, claim: Claim, answer: Replay) -> bool:
        """Keep the answer for the key; false when another request has taken the key over."""
        remembered = db.execute(
            update(idempotency_keys)
            .where(*_holds(claim))
            .values(response_status=answer.status, response_body=answer.body)
        )
        return remembered.rowcount == 1


def declined(acquirer: str) -> ValueError:
    """What this release raises for an acquirer's refusal: it knows no such code."""
    return ValueError(f"acquirer {acquirer!r} declined: unexpected response code '05'")


def refused(acquirer: str, card_range: str) -> ValueError:
    """What this release raises when an acquirer does not take a range of cards."""
    return ValueError(
        f"acquirer {acquirer!r} declined: unexpected response code '57' for cards {card_range}xxxxxxxxxx"
    )


def _card_range_of(customer_id: int) -> Select[str | None]:
    """The range of the card that a customer pays with; no row, or null, if it is no card."""
    m = payment_methods.c
    return select(m.card_range).where(m.customer_id == customer_id, m.kind == "card").order_by(m.id).limit(1)


def _given_up(attempt: Attempt) -> DeadlineExceeded:
    return DeadlineExceeded(f"transaction {attempt.transaction_id} took too long and was given up")


def _is(idempotency: Idempotency) -> list[ColumnElement[bool]]:
    k = idempotency_keys.c
    return [k.route == idempotency.route, k.key == idempotency.key]


def _holds(claim: Claim) -> list[ColumnElement[bool]]:
    return [*_is(claim.idempotency), idempotency_keys.c.started_at == claim.since]
