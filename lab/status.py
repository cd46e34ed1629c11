"""``lab status``: how each service is now, asked of the service itself."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedded import claim, health, state
from embedded.claim import Identity
from embedded.supervision import Standing

NOT_RUNNING = 3
_WIDTH_OF_A_PIPE = 160
_HEALTH_PATHS = {"traffic-generator": "/"}


@dataclass(frozen=True)
class Row:
    """One line of the table. Times in seconds; memory is proportional (PSS) where the system tells it."""

    name: str
    state: str
    is_well: bool
    url: str
    pid: int | None
    uptime_s: float | None
    memory_bytes: int


def show_status(directory: Path) -> int:
    """Print the table; the exit code: 0 all healthy, 1 something is not, 3 the lab is not running."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_PIPE
    rows = read_status(directory)
    if not rows:
        console.print("the lab is not running: start it with `lab up` (a lab in containers: `make ps`)")
        return NOT_RUNNING
    console.print(_table(rows))
    return 0 if all(row.is_well for row in rows) else 1


def read_status(directory: Path) -> list[Row]:
    """How every component and the supervisor are; empty when no lab runs in ``directory``."""
    runner, written = claim.runner(directory), state.read(directory)
    supervisor = runner.process() if runner else None
    if supervisor is None or written is None:
        return []
    own = {standing.pid for standing in written.components if standing.pid}
    rows = asyncio.run(_ask_all(written.components))
    memory = sum(_memory_bytes(p) for p in _tree(supervisor, without=own))
    uptime_s = time.time() - supervisor.create_time()
    return [*rows, Row("supervisor", "running", True, "", supervisor.pid, uptime_s, memory)]


async def _ask_all(standings: tuple[Standing, ...]) -> list[Row]:
    return list(await asyncio.gather(*(_ask(standing) for standing in standings)))


async def _ask(standing: Standing) -> Row:
    process = (
        Identity(standing.pid, standing.created).process() if standing.pid and standing.created else None
    )
    if process is None:
        return Row(standing.name, standing.state, False, standing.url, None, None, 0)
    said, is_well = await _health(standing)
    memory = sum(_memory_bytes(p) for p in _tree(process, without=set()))
    uptime_s = time.time() - process.create_time()
    return Row(standing.name, said, is_well, standing.url, process.pid, uptime_s, memory)


async def _health(standing: Standing) -> tuple[str, bool]:
    if not standing.url.startswith("http"):
        return standing.state, standing.state == "healthy"
    answer = await health.ask(standing.url + _HEALTH_PATHS.get(standing.name, "/health"), timeout_s=2.5)
    if answer.is_ok:
        return "healthy", True
    said = ": ".join(part for part in (str(answer.status or ""), answer.detail) if part)
    return f"unhealthy ({said})", False


def _tree(process: psutil.Process, *, without: set[int]) -> list[psutil.Process]:
    try:
        found = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    # A component's own children (Postgres' sessions) are counted with it.
    return [p for p in found if not without & {p.pid, *_ancestors(p)}] if without else found


def _ancestors(process: psutil.Process) -> set[int]:
    try:
        return {parent.pid for parent in process.parents()}
    except psutil.NoSuchProcess:
        return set()


def _memory_bytes(process: psutil.Process) -> int:
    try:
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.uss)
    except psutil.AccessDenied:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0


def _table(rows: list[Row]) -> Table:
    table = Table(box=None, pad_edge=False, show_edge=False, show_footer=True)
    total = sum(row.memory_bytes for row in rows)
    table.add_column("service", no_wrap=True)
    table.add_column("state")
    table.add_column("URL", overflow="fold")
    table.add_column("pid", justify="right", no_wrap=True)
    table.add_column("uptime", justify="right", no_wrap=True)
    table.add_column("memory", footer=_mib(total), justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            row.name,
            Text(row.state, style="green" if row.is_well else "red"),
            row.url,
            str(row.pid or ""),
            "" if row.uptime_s is None else _duration(row.uptime_s),
            _mib(row.memory_bytes) if row.memory_bytes else "",
        )
    return table


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MiB"


def _duration(seconds: float) -> str:
    whole = int(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours}h{minutes:02d}m"
    return f"{minutes}m{whole % 60:02d}s" if minutes else f"{whole}s"
