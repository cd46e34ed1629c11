"""What the tests with real services share: a shop for a whole module, the books, and many clients at once."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from embedded.postgres import Server
from tests.books import Books
from tests.conftest import LabDatabase, RunningService, Shop, _shop


@pytest.fixture
def books(lab_database: LabDatabase) -> Iterator[Books]:
    """The books of the test's own database; they must balance when the test is over."""
    books = Books(lab_database)
    yield books
    books.assert_balanced()


@pytest.fixture(scope="module")
def standing_database(postgres: Server, _database_numbers: Iterator[int]) -> LabDatabase:
    """One database for a module whose tests do not get into each other's way."""
    return LabDatabase(postgres.create_database(f"test_{next(_database_numbers)}", template="template"))


@pytest.fixture(scope="module")
def standing_shop(tmp_path_factory: pytest.TempPathFactory, standing_database: LabDatabase) -> Iterator[Shop]:
    """One shop for such a module."""
    with _shop(tmp_path_factory.mktemp("shop"), standing_database) as shop:
        yield shop


@pytest.fixture(scope="module")
def incidents(standing_shop: Shop) -> RunningService:
    """incident-management in such a shop, with nobody on call and nothing that notifies."""
    return standing_shop.start("incident-management")


@pytest.fixture(scope="module")
def ingestion(standing_shop: Shop, incidents: RunningService) -> RunningService:
    """alert-ingestion in such a shop, with the service that opens incidents."""
    return standing_shop.start("alert-ingestion")


@pytest.fixture
def standing_books(standing_database: LabDatabase) -> Iterator[Books]:
    """The books of the module's database; they must balance after each test that looks at them."""
    books = Books(standing_database)
    yield books
    books.assert_balanced()


@pytest.fixture
def at_once() -> Callable[[list[Callable[[], Any]]], list[Any]]:
    """Call functions at the same moment, each in a thread of its own; their results in order."""

    def run(calls: list[Callable[[], Any]]) -> list[Any]:
        ready = threading.Barrier(len(calls))

        def start(call: Callable[[], Any]) -> Any:
            ready.wait()
            return call()

        with ThreadPoolExecutor(len(calls)) as pool:
            return list(pool.map(start, calls))

    return run
