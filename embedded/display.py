"""What ``lab up`` prints: a table that turns green, then a quiet log."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from embedded.logs import LogLine
from embedded.supervision import Standing, State

_STATE_STYLES: dict[State, str] = {
    "waiting": "dim",
    "starting": "yellow",
    "healthy": "green",
    "restarting": "bold red",
    "stopped": "dim",
}
_LEVEL_STYLES = {"warning": "yellow", "error": "red", "critical": "bold red", "info": ""}
_NAME_WIDTH = 18


class Display:
    """Prints to a terminal or to a pipe; everything it says also goes to ``lab.log``."""

    def __init__(
        self,
        console: Console,
        *,
        log: Path,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._console = console
        self._log = log
        self._clock = clock
        self._standings: Sequence[Standing] = ()
        self._live: Live | None = None
        self._starting = False

    def show_start(self, standings: Sequence[Standing]) -> None:
        """Show how the components turn healthy, until ``show_ready``."""
        self._standings = standings
        self._starting = True
        if self._console.is_terminal:
            self._live = Live(self._table(), console=self._console, auto_refresh=False)
            self._live.start()

    def show_ready(self, elapsed_s: float, *, hints: Sequence[str]) -> None:
        """Close the table, say how long it took and what to look at next."""
        self.close()
        self._record("lab.healthy", "info", component="", message=f"all healthy in {elapsed_s:.1f} s")
        self._console.print(Text(f"all healthy in {elapsed_s:.1f} s", style="bold green"))
        for hint in hints:
            self._console.print(Text(f"  {hint}"), soft_wrap=True)

    def close(self) -> None:
        """Leave the table as it stands."""
        self._starting = False
        if self._live:
            self._live.stop()
            self._live = None

    def changed(self, standing: Standing) -> None:
        """Redraw the table; without a terminal, one line when a component turns healthy."""
        if self._live:
            self._live.update(self._table(), refresh=True)
        elif self._starting and standing.state == "healthy" and standing.restarts == 0:
            after_s = standing.healthy_after_s or 0.0
            self._console.print(
                Text(f"{standing.name:<{_NAME_WIDTH}} healthy  {after_s:5.1f} s  {standing.url}"),
                soft_wrap=True,
            )

    def say(self, event: str, message: str, *, level: str = "info", component: str = "") -> None:
        """Print what happened to a component, or to the lab when none is named."""
        self._record(event, level, component=component, message=message)
        self._print(self._clock(), component or "lab", message, level)

    def show(self, line: LogLine) -> None:
        """Print one line of a service's log."""
        what = f"{line.event} {line.details}" if line.is_phase else line.kind
        self._print(line.at, line.service, what, line.level)

    def show_repeats(self, service: str, level: str, kind: str, count: int) -> None:
        """Print how often a line came again."""
        self._print(self._clock(), service, f"{kind} ×{count}", level)

    def _print(self, at: datetime, name: str, message: str, level: str) -> None:
        text = Text(at.strftime("%H:%M:%S "), style="dim")
        text.append(f"{name:<{_NAME_WIDTH}} ", style="bold")
        text.append(message, style=_LEVEL_STYLES.get(level, ""))
        self._console.print(text, soft_wrap=True)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False, show_edge=False)
        for title in ("service", "state", "after", "URL"):
            table.add_column(title, justify="right" if title == "after" else "left", no_wrap=True)
        for standing in self._standings:
            after_s = standing.healthy_after_s
            table.add_row(
                standing.name,
                Text(standing.state, style=_STATE_STYLES[standing.state]),
                "" if after_s is None else f"{after_s:.1f} s",
                standing.url,
            )
        return table

    def _record(self, event: str, level: str, *, component: str, message: str) -> None:
        line = {
            "timestamp": self._clock().isoformat(),
            "level": level,
            "event": event,
            "service": "lab",
            **({"component": component} if component else {}),
            "message": message,
        }
        with self._log.open("a") as file:
            file.write(json.dumps(line) + "\n")
