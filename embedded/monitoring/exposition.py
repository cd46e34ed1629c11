"""Prometheus' text exposition format 0.0.4, read line by line.

The format: https://prometheus.io/docs/instrumenting/exposition_formats/. Types
and help are skipped, and so are timestamps: a sample's time is its scrape's.
"""

import re
from collections.abc import Iterator

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|$)')
_ESCAPE = re.compile(r'\\([\\"n])')


class ExpositionError(ValueError):
    """A line that is not in the format; the message shows it."""


def samples(text: str) -> Iterator[tuple[str, float]]:
    """Each sample as the text that names its series, and its value.

    The same series has the same text in each scrape, so that its labels need
    to be read only once. Raises ``ExpositionError``.
    """
    for line in text.split("\n"):
        line = line.strip()
        if not line or line[0] == "#":
            continue
        end = line.rfind("}") + 1 or len(line.split(None, 1)[0])
        series, fields = line[:end], line[end:].split()
        try:
            yield series, float(fields[0])
        except (IndexError, ValueError):
            raise ExpositionError(f"not a sample: {line[:200]!r}") from None


def series_labels(series: str) -> tuple[str, dict[str, str]]:
    """The metric's name and the labels of a series as ``samples`` names it. Raises ``ExpositionError``."""
    found = _NAME.match(series)
    if found is None:
        raise ExpositionError(f"not a metric name: {series[:200]!r}")
    rest = series[found.end() :].strip()
    if not rest:
        return found[0], {}
    if rest[0] != "{" or rest[-1] != "}":
        raise ExpositionError(f"not a series: {series[:200]!r}")
    return found[0], _labels(rest[1:-1], series)


def _labels(text: str, series: str) -> dict[str, str]:
    labels: dict[str, str] = {}
    place = 0
    while text[place:].strip():
        label = _LABEL.match(text, place)
        if label is None or label[1] in labels:
            raise ExpositionError(f"not labels: {series[:200]!r}")
        labels[label[1]] = _ESCAPE.sub(lambda found: "\n" if found[1] == "n" else found[1], label[2])
        place = label.end()
    return labels
