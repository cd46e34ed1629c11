"""The lab's log files: reading them in time order, following them, folding repeats, keeping them small.

Services write one JSON object a line, Postgres its own format, a crash
whatever it likes; all of it becomes a ``LogLine``.
"""

import heapq
import json
import re
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROTATE_AT_BYTES = 20 * 1024 * 1024
_POSTGRES = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[\d+\] (?:.*? )?([A-Z]+): +(.*)", re.DOTALL
)
_POSTGRES_LEVELS = {"WARNING": "warning", "ERROR": "error", "FATAL": "error", "PANIC": "critical"}
_LOUD = frozenset({"warning", "error", "critical"})
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_SHOWN_APART = frozenset({"timestamp", "level", "event", "service"})
_TELLING = ("route", "status", "error_type", "dependency")


@dataclass(frozen=True)
class LogLine:
    """One line of a log. ``at`` is aware UTC; a line without a time has that of the line before it."""

    at: datetime
    service: str
    level: str
    event: str
    raw: str
    fields: Mapping[str, object] = field(default_factory=dict)
    is_structured: bool = False

    @property
    def is_loud(self) -> bool:
        """Whether a service says that something is wrong: WARNING or above."""
        return self.is_structured and self.level in _LOUD

    @property
    def is_phase(self) -> bool:
        """Whether it is the schedule's word on a phase."""
        return self.is_structured and self.event.startswith("phase.")

    @property
    def kind(self) -> str:
        """The event with the few fields that tell one kind of trouble from another."""
        telling = [printable(self.fields[name]) for name in _TELLING if name in self.fields]
        return " ".join([printable(self.event), *telling])

    @property
    def details(self) -> str:
        """The free fields as ``name=value``."""
        return " ".join(
            f"{name}={printable(value)}" for name, value in self.fields.items() if name not in _SHOWN_APART
        )


def parse(raw: str, *, service: str, after: datetime = _BEGINNING) -> LogLine:
    """Read one line of a service's log; ``after`` is the time of the line before."""
    return _parse_json(raw, service) or _parse_postgres(raw, service) or LogLine(after, service, "", raw, raw)


def printable(value: object) -> str:
    """A value for a terminal: strings bare when they are simple, with escapes when they are not."""
    if isinstance(value, str) and value.isprintable() and " " not in value and value:
        return value
    return json.dumps(value, ensure_ascii=not (isinstance(value, str) and value.isprintable()), default=str)


def read_last(files: Iterable[Path], *, count: int) -> list[LogLine]:
    """The last ``count`` lines of all files together, in time order (0: all lines)."""
    merged = heapq.merge(*(_tail(file, count) for file in files), key=lambda line: line.at)
    return list(deque(merged, maxlen=count or None))


def last_lines(file: Path, *, count: int = 10) -> str:
    """The end of a file as text, empty if there is none: for a message on why something died."""
    if not file.exists():
        return ""
    with file.open(errors="replace") as lines:
        return "".join(deque(lines, maxlen=count)).rstrip()


def rotate(file: Path, *, at_bytes: int = ROTATE_AT_BYTES) -> bool:
    """Keep the old lines in ``<name>.log.1`` and empty the file, if it is over ``at_bytes``; whether it was.

    Copy, then truncate: its writers hold it open and append. A line written
    between the two steps is lost.
    """
    if not file.exists() or file.stat().st_size <= at_bytes:
        return False
    shutil.copyfile(file, file.with_name(f"{file.name}.1"))
    with file.open("r+b") as opened:
        opened.truncate()
    return True


class Follower:
    """Gives the whole lines that were added to the logs since it looked last."""

    def __init__(self, list_files: Callable[[], Iterable[Path]], *, from_end: bool = True) -> None:
        self._list_files = list_files
        self._offsets: dict[Path, int] = {}
        self._rests: dict[Path, bytes] = {}
        self._last_at: dict[Path, datetime] = {}
        if from_end:
            self._offsets = {file: file.stat().st_size for file in list_files() if file.exists()}

    def poll(self) -> list[LogLine]:
        """New lines of all files, in time order."""
        lines = [line for file in self._list_files() for line in self._read(file)]
        return sorted(lines, key=lambda line: line.at)

    def _read(self, file: Path) -> list[LogLine]:
        if not file.exists():
            return []
        offset = self._offsets.get(file, 0)
        if file.stat().st_size < offset:
            offset = 0
            self._rests.pop(file, None)
        with file.open("rb") as opened:
            opened.seek(offset)
            added = opened.read()
            self._offsets[file] = opened.tell()
        *whole, rest = (self._rests.get(file, b"") + added).split(b"\n")
        self._rests[file] = rest
        return [self._parse(file, raw) for raw in whole if raw]

    def _parse(self, file: Path, raw: bytes) -> LogLine:
        after = self._last_at.get(file, _BEGINNING)
        line = parse(raw.decode(errors="replace"), service=file.stem, after=after)
        self._last_at[file] = line.at
        return line


class Repeats:
    """Shows a kind of line at once, then only counts it, for as long as it goes on coming."""

    def __init__(self, *, window_s: float = 5.0) -> None:
        self._window_s = window_s
        self._counts: dict[tuple[str, str, str], int] = {}
        self._due_s = 0.0

    def add(self, line: LogLine) -> bool:
        """Take a line in; whether it is to be shown now."""
        key = (line.service, line.level, line.kind)
        is_new = key not in self._counts
        self._counts[key] = self._counts.get(key, -1) + 1
        return is_new

    def due(self, now_s: float) -> list[tuple[str, str, str, int]]:
        """Once per window: service, level, kind and how often it came again; quiet kinds are forgotten."""
        if now_s < self._due_s:
            return []
        self._due_s = now_s + self._window_s
        repeated = [(*key, count) for key, count in self._counts.items() if count]
        self._counts = dict.fromkeys((key for key, count in self._counts.items() if count), 0)
        return repeated


def _tail(file: Path, count: int) -> list[LogLine]:
    if not file.exists():
        return []
    with file.open(errors="replace") as opened:
        raw_lines = deque((raw.rstrip("\n") for raw in opened), maxlen=count or None)
    lines: list[LogLine] = []
    for raw in raw_lines:
        after = lines[-1].at if lines else _BEGINNING
        lines.append(parse(raw, service=file.stem, after=after))
    # heapq.merge needs each file in order, and a service's threads may write a line late.
    return sorted(lines, key=lambda line: line.at)


def _parse_json(raw: str, service: str) -> LogLine | None:
    if not raw.startswith("{"):
        return None
    try:
        fields = json.loads(raw)
        at = datetime.fromisoformat(fields["timestamp"])
    except (ValueError, KeyError, TypeError):
        return None
    level, event = str(fields.get("level", "")).lower(), str(fields.get("event", ""))
    return LogLine(at if at.tzinfo else at.replace(tzinfo=UTC), service, level, event, raw, fields, True)


def _parse_postgres(raw: str, service: str) -> LogLine | None:
    found = _POSTGRES.fullmatch(raw)
    if found is None:
        return None
    at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    return LogLine(at, service, _POSTGRES_LEVELS.get(found[2], "info"), found[3], raw)
