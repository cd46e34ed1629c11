"""The journal: one JSON line for each request dealt, so that two runs can be compared."""

import json
from pathlib import Path
from types import TracebackType
from typing import Self

from deck import Deal

MAX_BYTES = 16 * 1024 * 1024


class Journal:
    """Appends ``{"n", "method", "path", "body"}`` lines to ``path``, from a fresh file.

    What was there before, and what grows over ``max_bytes``, moves to ``<path>.1``
    and replaces what lay there. Raises ``OSError`` when the file cannot be written.
    """

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._start_file()

    def record(self, deal: Deal) -> None:
        """Write one request down, and out to the file at once."""
        request = deal.request
        line = {"n": deal.n, "method": request.method, "path": request.path, "body": request.body}
        self._file.write(json.dumps(line) + "\n")
        self._file.flush()
        if self._file.tell() >= self._max_bytes:
            self._file.close()
            self._start_file()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_file(self) -> None:
        if self._path.exists():
            self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._file = self._path.open("w", encoding="utf-8")
