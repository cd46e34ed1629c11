"""Many callers share one write, and not each other's fate."""

import asyncio
from collections.abc import Sequence

import pytest
from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    ProgrammingError,
)

from services.common.errors import Unavailable
from services.common.group_commit import GroupCommit

POISON = -1


class Paper:
    """Doubles what it is given; takes no poison, and nothing at all from write number ``away_from`` on."""

    def __init__(self, *, away_from: int | None = None, away: type[DBAPIError] = OperationalError) -> None:
        self.batches: list[list[int]] = []
        self._away_from = away_from
        self._away = away

    def write(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        if self._away_from is not None and len(self.batches) >= self._away_from:
            raise self._away("INSERT", {}, Exception("server closed the connection\nunexpectedly"))
        if POISON in batch:
            raise DataError("INSERT", {}, Exception("unsupported Unicode escape sequence"))
        return [2 * item for item in batch]


def written(paper: Paper, *items: int, limit: int = 100) -> list[object]:
    async def run() -> list[object]:
        commits = GroupCommit(paper.write, limit=limit)
        async with commits.running():
            return await asyncio.gather(*map(commits.submit, items), return_exceptions=True)

    return asyncio.run(run())


def test_what_comes_together_is_written_together_up_to_a_limit() -> None:
    paper = Paper()

    assert written(paper, *range(5), limit=2) == [0, 2, 4, 6, 8]
    assert paper.batches == [[0, 1], [2, 3], [4]]


def test_what_one_brought_is_raised_to_that_one_alone() -> None:
    outcomes = written(Paper(), 1, POISON, 3)

    assert (outcomes[0], outcomes[2]) == (2, 6)
    assert isinstance(outcomes[1], DataError)


@pytest.mark.parametrize("away", [OperationalError, InterfaceError, InternalError, ProgrammingError])
def test_a_database_that_takes_nothing_is_asked_once_for_all(away: type[DBAPIError]) -> None:
    paper = Paper(away_from=1, away=away)

    outcomes = written(paper, 1, 2, 3)

    assert [str(one) for one in outcomes] == [str(outcomes[0])] * 3
    assert isinstance(outcomes[0], Unavailable)
    assert "server closed the connection" in outcomes[0].detail
    assert "\n" not in outcomes[0].detail
    assert paper.batches == [[1, 2, 3]]


def test_a_database_that_goes_away_while_the_one_is_looked_for_is_asked_no_more() -> None:
    paper = Paper(away_from=3)

    outcomes = written(paper, 1, POISON, 3, 4)

    assert outcomes[0] == 2
    assert [type(one) for one in outcomes[1:]] == [Unavailable] * 3
    assert paper.batches == [[1, POISON, 3, 4], [1], [POISON]]


def test_who_went_away_has_its_item_written_and_holds_nobody_up() -> None:
    paper = Paper()

    async def run() -> int:
        commits = GroupCommit(paper.write, limit=100)
        async with commits.running():
            gone, here = commits.submit(1), commits.submit(2)
            gone.cancel()
            return await here

    assert asyncio.run(run()) == 4
    assert paper.batches == [[1, 2]]
