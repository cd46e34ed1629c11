"""Reading the lab's logs: formats, order, rotation, repeats."""

import json
from datetime import UTC, datetime
from pathlib import Path

from embedded.logs import Follower, LogLine, Repeats, parse, read_last, rotate

NOON = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)


def written(second: int, event: str, level: str = "info", **fields: object) -> str:
    at = NOON.replace(second=second).isoformat().replace("+00:00", "Z")
    return json.dumps({"timestamp": at, "level": level, "event": event, "service": "x", **fields})


def test_a_structured_line_keeps_its_time_level_event_and_fields() -> None:
    line = parse(written(3, "pool.timeout", "warning", waited_s=3.0), service="profile")

    assert (line.at, line.level, line.event) == (NOON.replace(second=3), "warning", "pool.timeout")
    assert (line.details, line.is_loud) == ("waited_s=3.0", True)


def test_a_line_of_postgres_has_its_own_time_and_severity() -> None:
    raw = '2026-11-21 12:00:05.250 UTC [77] shop@firedrill profile ERROR:  relation "x" does not exist'

    line = parse(raw, service="postgres")

    assert (line.at, line.level) == (NOON.replace(second=5, microsecond=250_000), "error")
    assert line.event == 'relation "x" does not exist'


def test_a_traceback_stays_with_the_line_before_it(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(f"{written(1, 'first')}\nTraceback (most recent call last):\n  boom\n")
    (tmp_path / "b.log").write_text(f"{written(2, 'second')}\n")

    lines = read_last(tmp_path.glob("*.log"), count=0)

    assert [line.event for line in lines] == [
        "first",
        "Traceback (most recent call last):",
        "  boom",
        "second",
    ]


def test_the_last_lines_are_the_last_of_all_files_together(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("".join(f"{written(s, f'a{s}')}\n" for s in (1, 3, 5)))
    (tmp_path / "b.log").write_text("".join(f"{written(s, f'b{s}')}\n" for s in (2, 4)))

    lines = read_last([tmp_path / "a.log", tmp_path / "b.log", tmp_path / "none.log"], count=3)

    assert [(line.service, line.event) for line in lines] == [("a", "a3"), ("b", "b4"), ("a", "a5")]


def test_a_follower_gives_whole_new_lines_once(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text(f"{written(1, 'old')}\n")
    follower = Follower(lambda: [file])
    with file.open("a") as log:
        log.write(f"{written(2, 'new')}\n{written(3, 'half')[:10]}")

    first = [line.event for line in follower.poll()]
    with file.open("a") as log:
        log.write(f"{written(3, 'half')[10:]}\n")
    second = [line.event for line in follower.poll()]

    assert (first, second, follower.poll()) == (["new"], ["half"], [])


def test_a_rotated_file_is_followed_from_its_new_beginning(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text(f"{written(1, 'old')}\n" * 100)
    follower = Follower(lambda: [file])

    rotated = rotate(file, at_bytes=100)
    with file.open("a") as log:
        log.write(f"{written(2, 'new')}\n")

    assert rotated
    assert [line.event for line in follower.poll()] == ["new"]
    assert len((tmp_path / "a.log.1").read_text().splitlines()) == 100


def test_a_small_file_is_not_rotated(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    file.write_text("small\n")

    assert not rotate(file)
    assert not (tmp_path / "a.log.1").exists()


def test_a_writer_goes_on_in_the_rotated_file(tmp_path: Path) -> None:
    file = tmp_path / "a.log"
    with file.open("a") as writer:
        writer.write("x" * 200)
        writer.flush()
        rotate(file, at_bytes=100)
        writer.write("after\n")

    assert file.read_text() == "after\n"


def trouble(status: int) -> LogLine:
    return parse(written(1, "request.finished", "warning", route="/x", status=status), service="gateway")


def test_repeats_are_shown_once_then_counted_then_forgotten() -> None:
    repeats = Repeats(window_s=5.0)
    repeats.due(0.0)

    shown = [repeats.add(trouble(500)) for _ in range(43)]

    assert shown == [True] + [False] * 42
    assert repeats.due(4.9) == []
    assert repeats.due(5.0) == [("gateway", "warning", "request.finished /x 500", 42)]
    assert repeats.due(10.0) == []
    assert repeats.add(trouble(500))


def test_another_status_is_another_kind() -> None:
    repeats = Repeats()

    assert [repeats.add(trouble(status)) for status in (500, 503, 500)] == [True, True, False]


def test_what_steers_a_terminal_is_shown_as_text() -> None:
    line = parse(written(1, "bad.\x1b[31mevent", path="/a b\x1b[2J"), service="gateway")

    assert "\x1b" not in line.kind + line.details
    assert line.details == 'path="/a b\\u001b[2J"'
