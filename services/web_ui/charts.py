"""The options of the small line charts (Apache ECharts), with incidents marked in them."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from services.web_ui.schemas import SEVERITIES, Incident
from services.web_ui.signals import Point

_LINE = "var(--accent)"
_TEXT = "var(--muted)"
_GRID = "var(--line)"


def line_chart(
    points: Sequence[Point],
    incidents: Sequence[Incident],
    *,
    name: str,
    start: datetime,
    end: datetime,
    unit: str,
    at_least: float,
) -> dict[str, Any]:
    """A line from ``start`` to ``end`` whose axis reaches ``at_least``; ``unit`` follows the axis' figures.

    Colours are CSS variables, which the SVG renderer passes on to the browser:
    so a chart follows the theme by itself.
    """
    highest = _round_up(max([at_least, *(value for _, value in points if value is not None)]))
    axis = {"axisLine": {"lineStyle": {"color": _GRID}}, "axisTick": {"show": False}}
    return {
        "animation": False,
        "useUTC": True,
        "textStyle": {"fontFamily": "inherit"},
        "grid": {"left": 4, "right": 10, "top": 16, "bottom": 4, "containLabel": True},
        "aria": {"enabled": True, "label": {"description": f"{name} over the last 30 minutes"}},
        "xAxis": {
            **axis,
            "type": "time",
            "min": _ms(start),
            "max": _ms(end),
            "splitNumber": 3,
            "axisLabel": {"color": _TEXT, "fontSize": 11, "formatter": "{HH}:{mm}", "hideOverlap": True},
            "splitLine": {"show": False},
        },
        "yAxis": {
            **axis,
            "type": "value",
            "min": 0,
            "max": highest,
            "interval": highest / 2,
            "axisLabel": {"color": _TEXT, "fontSize": 11, ":formatter": _axis_formatter(unit)},
            "splitLine": {"lineStyle": {"color": _GRID}},
        },
        "tooltip": {
            "trigger": "axis",
            "confine": True,
            ":valueFormatter": f"v => v == null ? 'no value' : ({_axis_formatter(unit)})(v)",
        },
        "series": [
            {
                "type": "line",
                "name": name,
                "data": [list(point) for point in points],
                "showSymbol": False,
                "lineStyle": {"color": _LINE, "width": 1.6},
                "itemStyle": {"color": _LINE},
                "areaStyle": {"color": _LINE, "opacity": 0.08},
                **_marks(incidents, start=start, end=end),
            }
        ],
    }


def _marks(incidents: Sequence[Incident], *, start: datetime, end: datetime) -> dict[str, Any]:
    """A band while each incident lasted, and a line where it began and where it ended."""
    lasting = [one for one in incidents if _ended(one, end) > start and one.created_at < end]
    bands = [
        [
            {
                "name": f"{SEVERITIES[one.severity]}: {one.title}",
                "xAxis": _ms(max(one.created_at, start)),
                "itemStyle": {"color": f"var(--{one.severity}-mark)", "opacity": 0.14},
            },
            {"xAxis": _ms(min(_ended(one, end), end))},
        ]
        for one in lasting
    ]
    edges = [
        {"xAxis": _ms(at), "lineStyle": {"color": f"var(--{one.severity}-mark)", "type": kind}}
        for one in lasting
        for at, kind in ((one.created_at, "solid"), (one.resolved_at, "dashed"))
        if at is not None and start <= at <= end
    ]
    return {
        "markArea": {"silent": True, "label": {"show": False}, "data": bands},
        "markLine": {"silent": True, "symbol": "none", "label": {"show": False}, "data": edges},
    }


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten, so that half of it reads well, too."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def _ended(incident: Incident, now: datetime) -> datetime:
    return incident.resolved_at or now


def _ms(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _axis_formatter(unit: str) -> str:
    return {
        "/s": "v => `${+v.toPrecision(3)}/s`",
        "%": "v => `${+(v * 100).toPrecision(3)} %`",
        "s": "v => v < 1 ? `${Math.round(v * 1000)} ms` : `${+v.toPrecision(3)} s`",
    }[unit]
