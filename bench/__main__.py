"""The figures that the lab is held to, measured and printed as a table: ``python -m bench``."""

import argparse
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from bench import alert_ingestion, fresh_clone, live_lab, overhead, telemetry
from bench.figure import Figure

MEASUREMENTS: dict[str, Callable[[], list[Figure]]] = {
    "overhead": overhead.measure,
    "alerts": alert_ingestion.measure,
    "telemetry": telemetry.measure,
    "lab": live_lab.measure,
    "clone": fresh_clone.measure,
}


def main() -> None:
    """Run the named measurements (all by default) and print what they found beside the goal."""
    parser = argparse.ArgumentParser(prog="bench", description="Measure what the lab costs; decides no test.")
    parser.add_argument("only", nargs="*", metavar="NAME", help=f"some of: {', '.join(MEASUREMENTS)} (all)")
    names = parser.parse_args().only or list(MEASUREMENTS)
    unknown = set(names) - set(MEASUREMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(MEASUREMENTS)}")
    console = Console()
    table = Table("figure", "measured", "goal", "")
    for name in names:
        started = time.monotonic()
        console.print(f"measuring {name} …", highlight=False)
        for figure in MEASUREMENTS[name]():
            verdict = "[green]reached[/]" if figure.is_reached else "[yellow]missed[/]"
            table.add_row(figure.name, figure.measured, figure.goal, verdict)
        console.print(f"  done in {time.monotonic() - started:.0f} s", highlight=False)
    console.print(table)


if __name__ == "__main__":
    main()
