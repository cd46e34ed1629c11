"""The journal is complete, and its size is bounded."""

import json
from itertools import islice
from pathlib import Path

from deck import deal
from journal import Journal


def numbers(path: Path) -> list[int]:
    return [json.loads(line)["n"] for line in path.read_text().splitlines()]


def test_each_request_is_a_line_with_its_number_method_path_and_body(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "journal"
    deals = list(islice(deal(1, rate_per_s=8), 20))

    with Journal(path) as journal:
        for one in deals:
            journal.record(one)

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines == [
        {"n": one.n, "method": one.request.method, "path": one.request.path, "body": one.request.body}
        for one in deals
    ]


def test_a_line_is_in_the_file_as_soon_as_it_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    with Journal(path) as journal:
        journal.record(next(deal(1, rate_per_s=8)))

        assert numbers(path) == [0]


def test_a_full_journal_moves_aside_and_only_one_old_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"

    with Journal(path, max_bytes=2_000) as journal:
        for one in islice(deal(1, rate_per_s=8), 100):
            journal.record(one)

    old, new = numbers(tmp_path / "journal.1"), numbers(path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["journal", "journal.1"]
    assert path.stat().st_size < 2_000
    assert (tmp_path / "journal.1").stat().st_size < 2_200
    assert old + new == list(range(old[0], 100))


def test_the_journal_of_the_run_before_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_text("of the run before\n")

    Journal(path).close()

    assert path.read_text() == ""
    assert (tmp_path / "journal.1").read_text() == "of the run before\n"
