"""CSV files, written a row at a time."""

import csv
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lab.export.recording import MetricFrame


def write(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write a table anew; how many rows it has."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(header)
        return _written(writer.writerow, rows)


def append(file: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> int:
    """Write rows behind those that are there, and the header first if nothing is; how many they were."""
    is_new = not file.exists()
    with file.open("a", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        if is_new:
            writer.writerow(header)
        return _written(writer.writerow, rows)


def write_frame(file: Path, frame: MetricFrame) -> int:
    """The wide table with ``time`` first; how many rows it has."""
    columns = list(frame.columns.values())
    rows = ([at, *(column[place] for column in columns)] for place, at in enumerate(frame.times))
    return write(file, ["time", *frame.columns], rows)


def _written(write_row: Callable[[Sequence[object]], object], rows: Iterable[Sequence[object]]) -> int:
    count = 0
    for row in rows:
        write_row(row)
        count += 1
    return count
