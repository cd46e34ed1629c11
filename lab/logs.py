"""``lab logs``: the services' logs, merged by time and made readable."""

import time
from collections.abc import Iterable
from pathlib import Path

from rich.console import Console
from rich.text import Text

from embedded.errors import LabError
from embedded.logs import Follower, LogLine, printable, read_last

_POLL_S = 0.2
_NAME_WIDTH = 18
_LEVEL_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red"}


def show_logs(folder: Path, *, service: str | None, follow: bool, count: int, raw: bool) -> None:
    """Print the last ``count`` lines (0: all), then, if asked, every new one until Ctrl-C.

    ``LabError`` if there is no such service, with the names that there are.
    """
    _require_logs(folder, service)

    def list_files() -> Iterable[Path]:
        return [folder / f"{service}.log"] if service else sorted(folder.glob("*.log"))

    console = Console(highlight=False, soft_wrap=True)
    follower = Follower(list_files)
    for line in read_last(list_files(), count=count):
        _print(console, line, raw=raw)
    if not follow:
        return
    try:
        while True:
            for line in follower.poll():
                _print(console, line, raw=raw)
            time.sleep(_POLL_S)
    except KeyboardInterrupt:
        return


def _require_logs(folder: Path, service: str | None) -> None:
    names = sorted(file.stem for file in folder.glob("*.log"))
    if not names:
        raise LabError(
            f"there are no logs in {folder}: start the lab with `lab up`"
            " (of a lab in containers: `lab logs --since 15m` asks its telemetry, `make logs` follows it)"
        )
    if service and service not in names:
        raise LabError(f"there is no log of {service!r}; there are: {', '.join(names)}")


def _print(console: Console, line: LogLine, *, raw: bool) -> None:
    if raw:
        print(line.raw, flush=True)
        return
    text = Text(line.at.strftime("%H:%M:%S.%f")[:-3], style="dim")
    text.append(f" {line.level.upper():<8} ", style=_LEVEL_STYLES.get(line.level, "dim"))
    text.append(f"{line.service:<{_NAME_WIDTH}} ", style="bold")
    text.append(printable(line.event) if line.is_structured else _plain(line.event))
    if line.details:
        text.append(f"  {line.details}", style="dim")
    console.print(text)


def _plain(line: str) -> str:
    """A line that is no JSON, without what would steer a terminal."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in line)
