"""Charts as SVG text: the timeline of a run, and one golden signal of one service.

Drawn by hand, since a report is one file without scripts. Colours are CSS
variables of the page that the chart stands in. Every chart says in its ``title``
what it shows, and needs no colour to be read: marks carry letters.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from services.exam import symptoms
from services.exam.journal import Event, EventKind, Journal, Series
from services.exam.report.marks import Mark

WIDTH = 1120
LEFT, RIGHT = 285, 18
LANE_HEIGHT, STRIP_HEIGHT = 26, 18
MARK_ROOM = 34
STRIP_BINS = 160
STEPS_MIN = (0.5, 1, 2, 5, 10, 15, 30, 60)
TICKS = 12

LANES: tuple[tuple[str, tuple[EventKind, ...]], ...] = (
    ("examiner", ("fault.injected", "fault.reverted", "herring.shown", "run.paused", "run.resumed")),
    ("alerts", ("alert.fired", "alert.resolved")),
    ("incidents, pages", ("incident.opened", "page.sent", "page.acknowledged", "incident.acknowledged")),
    ("notes, updates", ("note.added", "update.posted", "incident.changed")),
    ("changes", ("setting.changed", "record.changed", "service.restarted")),
    ("SQL", ("sql.run",)),
    ("hints, submissions", ("hint.taken", "submission.made")),
)


@dataclass(frozen=True)
class Scale:
    """From a moment to a place on the x axis."""

    start: datetime
    end: datetime
    left: float
    right: float

    def x(self, at: datetime) -> float:
        part = (at - self.start) / (self.end - self.start)
        return round(self.left + (self.right - self.left) * min(1.0, max(0.0, part)), 1)


def timeline_chart(journal: Journal, marks: Sequence[Mark], *, words: dict[str, str]) -> Markup:
    """Events by lane over the examiner's requests by route; ``words`` names the kinds of events."""
    scale = _scale(journal, left=LEFT, right=WIDTH - RIGHT)
    lanes = [(name, [e for e in journal.events if e.kind in kinds]) for name, kinds in LANES]
    lanes = [(name, events) for name, events in lanes if events]
    routes = sorted({(not probe.affected, probe.route) for probe in journal.probes})
    body: list[Markup] = []
    y = float(MARK_ROOM)
    for name, events in lanes:
        body += _lane(name, events, scale, y=y, words=words)
        y += LANE_HEIGHT
    y += 8
    for is_healthy, route in routes:
        body += _strip(journal, route, scale, y=y, is_healthy=is_healthy)
        y += STRIP_HEIGHT
    began_at = journal.run.injected_at or journal.run.started_at
    axis = _time_axis(scale, began_at, y=y + 4)
    lines = _mark_lines(marks, scale, top=22, bottom=y + 4, letters_at=14)
    return _svg(WIDTH, y + 28, "Timeline of the run", [*lines, *body, *axis], css="timeline")


def signal_chart(series: Series, journal: Journal, marks: Sequence[Mark]) -> Markup:
    """One signal of one service over the run, with the marks in it."""
    width, height, left, right, top, bottom = 360, 128, 48, 18, 18, 104
    scale = _scale(journal, left=left, right=width - right)
    highest = _round_up(max([value for _, value in series.points if math.isfinite(value)], default=0.0))
    began_at = journal.run.injected_at or journal.run.started_at

    def y(value: float) -> float:
        return round(bottom - (bottom - top) * value / highest, 1)

    grid = [
        _tag("line", x1=left, x2=width - right, y1=y(level), y2=y(level), class_="grid")
        + _text(left - 6, y(level) + 4, _figure(level, series.unit), anchor="end")
        for level in (0, highest / 2, highest)
    ]
    lines = _mark_lines(marks, scale, top=top - 4, bottom=bottom, letters_at=11)
    drawn = [_tag("polyline", points=run, class_="signal") for run in _runs(series, journal, scale, y)]
    title = f"{series.service}: {series.name}"
    axis = _time_axis(scale, began_at, y=bottom, most=5)
    return _svg(width, height, title, [*grid, *lines, *drawn, *axis], css="small")


def _scale(journal: Journal, *, left: float, right: float) -> Scale:
    start, end = journal.run.started_at, journal.run.ended_at
    return Scale(start, max(end, start + timedelta(seconds=1)), left, right)


def _lane(
    name: str, events: Iterable[Event], scale: Scale, *, y: float, words: dict[str, str]
) -> list[Markup]:
    middle = y + LANE_HEIGHT / 2
    parts = [
        _text(LEFT - 10, middle + 4, name, anchor="end"),
        _tag("line", x1=LEFT, x2=WIDTH - RIGHT, y1=middle, y2=middle, class_="grid"),
    ]
    for event in events:
        kind = event.kind.replace(".", "-")
        said = f"{event.at:%H:%M:%S} {words[event.kind]}"
        place = {"cx": scale.x(event.at), "cy": middle, "r": 4.5, "class_": f"event {kind}"}
        parts.append(_tag("circle", _tag("title", said), **place))
    return parts


def _strip(journal: Journal, route: str, scale: Scale, *, y: float, is_healthy: bool) -> list[Markup]:
    """The share of bad answers of a route, bin by bin: the more, the darker and the higher."""
    height = STRIP_HEIGHT - 5
    width = (scale.right - scale.left) / STRIP_BINS
    asked, bad = [0] * STRIP_BINS, [0] * STRIP_BINS
    for probe in journal.probes:
        if probe.route == route:
            place = min(STRIP_BINS - 1, int((scale.x(probe.at) - scale.left) / width))
            asked[place] += 1
            bad[place] += symptoms.is_bad(probe, journal.baseline.get(route))
    parts = [
        _text(LEFT - 10, y + height - 1, route, anchor="end", css="route healthy" if is_healthy else "route"),
        _tag("rect", x=scale.left, y=y, width=scale.right - scale.left, height=height, class_="asked"),
    ]
    for place, count in enumerate(bad):
        if count:
            tall = round(height * max(0.35, count / asked[place]), 1)
            x = round(scale.left + place * width, 1)
            parts.append(
                _tag("rect", x=x, y=y + height - tall, width=round(width, 1), height=tall, class_="bad")
            )
    return parts


def _mark_lines(
    marks: Sequence[Mark], scale: Scale, *, top: float, bottom: float, letters_at: float
) -> list[Markup]:
    """Letters side by side where moments are close to each other."""
    parts: list[Markup] = []
    free_from = 0.0
    for mark in marks:
        x = scale.x(mark.at)
        at = max(x, free_from)
        free_from = at + 11
        title = _tag("title", f"{mark.at:%H:%M:%S} {mark.name}")
        css = f"mark {mark.name}"
        parts.append(_tag("line", title, x1=x, x2=x, y1=top, y2=bottom, class_=css))
        parts.append(_text(at, letters_at, mark.letter, anchor="middle", css=f"letter {mark.name}"))
    return parts


def _time_axis(scale: Scale, began_at: datetime, *, y: float, most: int = TICKS) -> list[Markup]:
    """Minutes since the injection."""
    first = (scale.start - began_at).total_seconds() / 60
    last = (scale.end - began_at).total_seconds() / 60
    step = next((step for step in STEPS_MIN if (last - first) / step <= most), STEPS_MIN[-1])
    parts = [_tag("line", x1=scale.left, x2=scale.right, y1=y, y2=y, class_="axis")]
    for nth in range(math.ceil(first / step), math.floor(last / step) + 1):
        x = scale.x(began_at + timedelta(minutes=nth * step))
        label = f"{nth * step:g} min" if nth == 0 else f"{nth * step:+g}".replace("-", "−")
        parts.append(_tag("line", x1=x, x2=x, y1=y, y2=y + 4, class_="axis"))
        parts.append(_text(x, y + 17, label, anchor="middle"))
    return parts


def _runs(series: Series, journal: Journal, scale: Scale, y: Callable[[float], float]) -> Iterable[str]:
    """The line, broken where there is no value."""
    run: list[str] = []
    for at_s, value in series.points:
        at = datetime.fromtimestamp(at_s, tz=journal.run.started_at.tzinfo)
        if math.isfinite(value) and scale.start <= at <= scale.end:
            run.append(f"{scale.x(at)},{y(value)}")
        elif run:
            yield " ".join(run)
            run = []
    if run:
        yield " ".join(run)


def _round_up(value: float) -> float:
    """The next of 1, 2, 4, 6, 8 times a power of ten, so that half of it reads well, too."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))


def _figure(value: float, unit: str) -> str:
    if unit in ("ratio", "%"):
        return f"{value * 100 if unit == 'ratio' else value:.3g} %"
    if unit in ("s", "seconds"):
        return f"{value * 1000:.3g} ms" if 0 < value < 1 else f"{value:.3g} s"
    # Beside an axis there is no room for what is counted: the chart's name tells it.
    return f"{value:.3g}/{unit.partition('/')[2]}" if "/" in unit else f"{value:.3g} {unit}".strip()


def _text(x: float, y: float, text: str, *, anchor: str, css: str = "") -> Markup:
    return _tag("text", text, x=x, y=y, text_anchor=anchor, class_=css)


def _tag(tag: str, *content: str, **attributes: object) -> Markup:
    """An element; content that is no markup and every attribute are escaped."""
    named = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
        if value != ""
    )
    name = Markup(tag)  # noqa: S704 (ours)
    return Markup("<{0}{1}>{2}</{0}>").format(name, named, Markup("").join(content))


def _svg(width: float, height: float, title: str, parts: Iterable[Markup], *, css: str) -> Markup:
    return _tag(
        "svg",
        _tag("title", title),
        *parts,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        class_=css,
    )
