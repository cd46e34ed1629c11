"""Stock and reservations: never less than nothing, each reservation once, each release once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

from psycopg2.errors import LockNotAvailable, QueryCanceled
from sqlalchemy import Connection, func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError

from services.common.database import Database
from services.common.errors import Conflict, DeadlineExceeded, NotFound
from services.inventory.schemas import Item, Reservation, Stock
from services.inventory.tables import reservations, stock


class InventoryStore:
    """The inventory in Postgres."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def find(self, sku: str) -> Stock:
        """One article; raises ``NotFound``."""
        with self.database.transaction() as db:
            found = db.execute(select(stock).where(stock.c.sku == sku)).one_or_none()
        if found is None:
            raise NotFound(f"no article {sku!r}")
        return Stock.model_validate(found)

    def reserve(self, reservation_id: UUID, items: Sequence[Item], *, within_s: float) -> Reservation:
        """Take the items off the stock; all of them or none.

        Raises ``NotFound`` for an unknown article, ``Conflict`` when there is
        too little of one or the reservation was released before, and
        ``DeadlineExceeded`` when a lock is not had within ``within_s`` seconds.
        """
        with self._limited(within_s) as db:
            added = db.execute(
                insert(reservations)
                .values(id=reservation_id, status="reserved", items=[item.model_dump() for item in items])
                .on_conflict_do_nothing()
                .returning(reservations.c.id)
            ).one_or_none()
            if added is None:
                return self._as_before(db, reservation_id)
            # In the order of the SKUs, so that two reservations never wait for each other.
            for sku, quantity in _totals(items):
                self._take(db, sku, quantity)
        return Reservation(reservation_id=reservation_id, status="reserved")

    def release(self, reservation_id: UUID, *, within_s: float) -> Reservation:
        """Put a reservation's items back. A release that comes first bars the reservation."""
        with self._limited(within_s) as db:
            barred = db.execute(
                insert(reservations)
                .values(id=reservation_id, status="released", items=[], released_at=func.now())
                .on_conflict_do_nothing()
                .returning(reservations.c.id)
            ).one_or_none()
            if barred is None:
                self._put_back(db, reservation_id)
        return Reservation(reservation_id=reservation_id, status="released")

    def _as_before(self, db: Connection, reservation_id: UUID) -> Reservation:
        status = db.scalar(select(reservations.c.status).where(reservations.c.id == reservation_id))
        if status != "reserved":
            raise Conflict(f"reservation {reservation_id} was released")
        return Reservation(reservation_id=reservation_id, status="reserved")

    def _take(self, db: Connection, sku: str, quantity: int) -> None:
        taken = db.execute(
            update(stock)
            .where(stock.c.sku == sku, stock.c.available >= quantity)
            .values(available=stock.c.available - quantity, updated_at=func.now())
        )
        if taken.rowcount == 1:
            return
        available = db.scalar(select(stock.c.available).where(stock.c.sku == sku))
        if available is None:
            raise NotFound(f"no article {sku!r}")
        raise Conflict(f"only {available} of {sku!r} available, {quantity} asked for")

    def _put_back(self, db: Connection, reservation_id: UUID) -> None:
        items = db.scalar(
            update(reservations)
            .where(reservations.c.id == reservation_id, reservations.c.status == "reserved")
            .values(status="released", released_at=func.now())
            .returning(reservations.c["items"])
        )
        for sku, quantity in _totals([Item(**item) for item in items or []]):
            db.execute(
                update(stock)
                .where(stock.c.sku == sku)
                .values(available=stock.c.available + quantity, updated_at=func.now())
            )

    @contextmanager
    def _limited(self, within_s: float) -> Iterator[Connection]:
        try:
            with self.database.transaction() as db:
                db.execute(select(func.set_config("statement_timeout", str(int(within_s * 1000) or 1), True)))
                yield db
        except OperationalError as error:
            if isinstance(error.orig, QueryCanceled | LockNotAvailable):
                raise DeadlineExceeded(
                    f"stock is locked: nothing came free within {within_s:.2f} s"
                ) from error
            raise


def _totals(items: Sequence[Item]) -> list[tuple[str, int]]:
    totals: dict[str, int] = {}
    for item in items:
        totals[item.sku] = totals.get(item.sku, 0) + item.quantity
    return sorted(totals.items())
