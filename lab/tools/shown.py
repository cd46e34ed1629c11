"""The tools' answers for a person at a terminal."""

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import JsonValue
from rich.console import Console
from rich.table import Table
from rich.text import Text

from embedded.errors import LabError
from lab.tools.api import Document

_WIDTH_OF_A_PIPE = 160
_LAST_POINTS = 12


def show(found: Document) -> None:
    """As JSON."""
    print(json.dumps(found, indent=1))


def show_lookup(found: Any) -> None:
    """As ``dig`` does, less its decoration."""
    print(f";; {found['name']} {found['type']}: {found['status']} from {found['server']}")
    for answer in found["answers"]:
        print(f"{answer['name']}\t{answer['ttl_s']}\t{answer['type']}\t{answer['value']}")


def show_trace(found: Any) -> None:
    """A span a line, indented by depth."""
    cut = ", cut" if found["truncated"] else ""
    print(f"{found['trace_id']}  {found['duration_ms']:.1f} ms  {', '.join(found['services'])}{cut}")
    console = _console()
    for span in found["spans"]:
        _show_span(console, span)


def _show_span(console: Console, span: Any) -> None:
    is_error = span["status"].lower() == "error"
    line = Text(f"{span['offset_ms']:9.1f} {span['duration_ms']:9.1f} ms  ", style="dim")
    line.append("  " * span["depth"])
    line.append(f"{span['service']} ", style="bold")
    line.append(span["name"], style="red" if is_error else "")
    if said := span["status_message"]:
        line.append(f"  {said}", style="red")
    console.print(line)
    for child in span["children"]:
        _show_span(console, child)


def show_series(found: Any) -> None:
    """A line for each series: its labels and its value, or its last values."""
    result = found["result"]
    if not isinstance(result, list):
        print(result)
        return
    if not result:
        print("no value")
    for series in result:
        # A scalar is a pair of a time and a value, without labels.
        if not isinstance(series, dict):
            print(result[1])
            return
        values = [series["value"]] if "value" in series else series["values"]
        print(f"{_labels(series['metric'])}  {_points(values)}")


def _labels(metric: dict[str, str]) -> str:
    name = metric.get("__name__", "")
    labels = ", ".join(f'{k}="{v}"' for k, v in sorted(metric.items()) if k != "__name__")
    return f"{name}{{{labels}}}"


def _points(values: Sequence[Any]) -> str:
    shown = [f"{float(value):g}" for _, value in values[-_LAST_POINTS:]]
    if len(values) == 1:
        return shown[0]
    began = datetime.fromtimestamp(float(values[-len(shown)][0]), UTC)
    return f"{began:%H:%M:%S} {' '.join(shown)}"


def show_settings(found: Any) -> None:
    """A setting a line; a mark shows which an operator has set."""
    table = _table("setting", "value", "set by", "meaning")
    for name, setting in found["settings"].items():
        value = json.dumps(setting["value"])
        table.add_row(name, value, "operator" if setting["set_by_operator"] else "", setting["description"])
    _console().print(table)


def show_incidents(found: Any) -> None:
    """An incident a line."""
    table = _table("id", "severity", "status", "service", "assigned to", "opened", "title")
    for one in found["items"]:
        row = (one["id"], one["severity"], one["status"], one["service"], one["assigned_to"] or "")
        table.add_row(*row, one["created_at"][:19], one["title"])
    _console().print(table)


def show_log_lines(found: Any) -> None:
    """Log lines by time, oldest first, each with the id that evidence gives."""
    for line in reversed(found["items"]):
        details = " ".join(f"{k}={v}" for k, v in line["attributes"].items())
        ids = f"signal_id={line['signal_id']} trace_id={line['trace_id'] or '-'}"
        print(
            f"{line['timestamp']} {line['level']:<8} {line['service']:<18} {line['message']}  {details} {ids}"
        )


def setting_changes(written: Iterable[str]) -> dict[str, JsonValue]:
    """``NAME=VALUE`` arguments as a change; ``LabError`` for what is not written so."""
    changes: dict[str, JsonValue] = {}
    for one in written:
        name, sign, value = one.partition("=")
        if not sign or not name:
            raise LabError(f"{one!r} is not written as NAME=VALUE")
        changes[name] = _value(value)
    return changes


def _value(written: str) -> JsonValue:
    try:
        found: JsonValue = json.loads(written)
        json.dumps(found, allow_nan=False)
    except ValueError:
        return written
    return found


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _console() -> Console:
    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = _WIDTH_OF_A_PIPE
    return console
