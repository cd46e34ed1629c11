"""Many callers share one write, and not each other's fate."""

import asyncio
from collections.abc import Sequence

from sqlalchemy.exc import DataError, OperationalError

from services.common.errors import Unavailable
from services.common.group_commit import GroupCommit

POISON = -1


class Paper:
    """Doubles what it is given; takes no poison, and nothing at all while it is away."""

    def __init__(self, *, is_away: bool = False) -> None:
        self.batches: list[list[int]] = []
        self._is_away = is_away

    def write(self, batch: Sequence[int]) -> list[int]:
        self.batches.append(list(batch))
        if self._is_away:
            raise OperationalError("INSERT", {}, Exception("server closed the connection\nunexpectedly"))
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


def test_a_database_that_is_away_is_asked_once_for_all() -> None:
    paper = Paper(is_away=True)

    outcomes = written(paper, 1, 2, 3)

    assert [str(one) for one in outcomes] == [str(outcomes[0])] * 3
    assert isinstance(outcomes[0], Unavailable)
    assert "server closed the connection" in outcomes[0].detail
    assert "\n" not in outcomes[0].detail
    assert paper.batches == [[1, 2, 3]]


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
