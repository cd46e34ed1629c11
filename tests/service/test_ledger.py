"""The ledger on Postgres: what holds when attempts race, die, or come back too late."""

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest

from services.common.database import Database
from services.common.errors import Conflict, DeadlineExceeded, Unprocessable
from services.payment.ledger import LEASE, Attempt, Idempotency, Ledger, Replay
from tests.books import Books
from tests.conftest import LabDatabase

PAST_THE_LEASE_S = LEASE.total_seconds() + 1
KEY = Idempotency("/api/payment", "key", "hash")


@pytest.fixture
def ledger(lab_database: LabDatabase) -> Iterator[Ledger]:
    """The ledger, without the service around it."""
    pool = Database(lab_database.url("shop"), service="payment", schema="payment", pool_size=20)
    yield Ledger(pool)
    pool.dispose()


def begin(ledger: Ledger, customer: int, amount: str, **more: Any) -> Attempt:
    """A payment that has begun."""
    options = {"reservation_id": None, "idempotency": None, **more}
    attempt = ledger.begin("payment", customer_id=customer, amount=Decimal(amount), **options)
    assert isinstance(attempt, Attempt)
    return attempt


def capture(ledger: Ledger, attempt: Attempt) -> int:
    return ledger.capture_payment(attempt, acquirer="primary", review=None).id


def let_time_pass(books: Books) -> None:
    """Make everything that is under way look older than a lease."""
    books.query(
        "UPDATE payment.transactions SET created_at = created_at - :age * interval '1 s'"
        " WHERE status = 'pending'",
        age=PAST_THE_LEASE_S,
    )
    books.query(
        "UPDATE payment.idempotency_keys SET started_at = started_at - :age * interval '1 s'"
        " WHERE response_status IS NULL",
        age=PAST_THE_LEASE_S,
    )


def status_of(books: Books, attempt: Attempt) -> str:
    found = books.value("SELECT status FROM payment.transactions WHERE id = :id", id=attempt.transaction_id)
    return str(found)


def test_what_is_under_way_is_no_orphan(ledger: Ledger, books: Books) -> None:
    attempt = begin(ledger, 1, "10")

    assert ledger.fail_orphans() == 0
    assert status_of(books, attempt) == "pending"


def test_an_orphan_is_ended_and_its_reservation_is_given_back(ledger: Ledger, books: Books) -> None:
    reservation = uuid.uuid4()
    attempt = begin(ledger, 1, "10", reservation_id=reservation)
    let_time_pass(books)

    assert ledger.fail_orphans() == 1
    assert ledger.fail_orphans() == 0

    assert status_of(books, attempt) == "failed"
    assert ledger.due_releases(limit=10) == [reservation]
    ledger.released(reservation)
    assert ledger.due_releases(limit=10) == []


def test_two_replicas_end_each_orphan_once(ledger: Ledger, books: Books) -> None:
    for _ in range(20):
        begin(ledger, 1, "10", reservation_id=uuid.uuid4())
    let_time_pass(books)

    with ThreadPoolExecutor(4) as pool:
        ended = sum(pool.map(lambda _: ledger.fail_orphans(), range(4)))

    assert ended == 20
    assert len(ledger.due_releases(limit=100)) == 20


def test_an_attempt_that_comes_back_after_it_was_given_up_moves_nothing(ledger: Ledger, books: Books) -> None:
    before = books.balance(1)
    attempt = begin(ledger, 1, "10")
    let_time_pass(books)
    ledger.fail_orphans()

    with pytest.raises(DeadlineExceeded):
        capture(ledger, attempt)

    assert books.balance(1) == before
    assert status_of(books, attempt) == "failed"


def test_a_key_whose_request_died_can_be_taken_over(ledger: Ledger, books: Books) -> None:
    begin(ledger, 1, "10", idempotency=KEY)
    with pytest.raises(Conflict):
        begin(ledger, 1, "10", idempotency=KEY)
    let_time_pass(books)

    second = begin(ledger, 1, "10", idempotency=KEY)

    assert status_of(books, second) == "pending"


def test_of_two_that_held_a_key_one_after_the_other_only_the_later_captures(
    ledger: Ledger, books: Books
) -> None:
    before = books.balance(1)
    slow = begin(ledger, 1, "10", idempotency=KEY)
    let_time_pass(books)
    retry = begin(ledger, 1, "10", idempotency=KEY)

    with pytest.raises(DeadlineExceeded):
        capture(ledger, slow)
    captured = capture(ledger, retry)

    assert books.balance(1) == before - 10
    replay = ledger.begin("payment", customer_id=1, amount=Decimal(10), reservation_id=None, idempotency=KEY)
    assert isinstance(replay, Replay)
    assert replay.body["id"] == captured


def test_one_that_lost_its_key_does_not_take_it_from_the_next_when_it_fails(
    ledger: Ledger, books: Books
) -> None:
    slow = begin(ledger, 1, "10", idempotency=KEY)
    let_time_pass(books)
    retry = begin(ledger, 1, "10", idempotency=KEY)

    ledger.fail(slow, status="failed", reason="too late", answer=None)

    with pytest.raises(Conflict):
        begin(ledger, 1, "10", idempotency=KEY)
    capture(ledger, retry)


def test_a_capture_whose_answer_was_lost_is_not_undone_and_not_repeated(ledger: Ledger, books: Books) -> None:
    attempt = begin(ledger, 1, "10", idempotency=KEY, reservation_id=uuid.uuid4())
    captured = capture(ledger, attempt)

    # As when the connection breaks after Postgres has committed: the service sees an error.
    ledger.fail(attempt, status="failed", reason="connection lost", answer=None)

    assert status_of(books, attempt) == "captured"
    assert ledger.due_releases(limit=10) == []
    replay = ledger.begin("payment", customer_id=1, amount=Decimal(10), reservation_id=None, idempotency=KEY)
    assert isinstance(replay, Replay)
    assert (replay.status, replay.body["id"]) == (201, captured)


def test_a_key_of_another_request_is_refused_even_while_it_is_under_way(ledger: Ledger, books: Books) -> None:
    begin(ledger, 1, "10", idempotency=KEY)

    with pytest.raises(Unprocessable):
        begin(ledger, 1, "10", idempotency=Idempotency(KEY.route, KEY.key, "another hash"))


def test_a_refused_attempt_leaves_no_second_pending_movement(ledger: Ledger, books: Books) -> None:
    begin(ledger, 1, "10", idempotency=KEY)
    with pytest.raises(Conflict):
        begin(ledger, 1, "10", idempotency=KEY)

    assert books.pending() == 1


def test_releases_are_due_in_their_order(ledger: Ledger, books: Books) -> None:
    reservations = [uuid.uuid4() for _ in range(3)]
    for reservation in reservations:
        attempt = begin(ledger, 1, "10", reservation_id=reservation)
        ledger.fail(attempt, status="failed", reason="test", answer=None)

    assert ledger.due_releases(limit=2) == reservations[:2]
