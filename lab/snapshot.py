"""``lab exam snapshot``: how the shop is now, as text files for the candidate's pack."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import httpx

from embedded.errors import LabError

WINDOW = "5m"
_SHOP = (
    'service=~"gateway|profile|payment|inventory|fraud",'
    'route!~"/(health|metrics|docs|openapi.json|ops/.*|admin/.*)"'
)
_BY_ROUTE = ("service", "route")
_BY_CALL = ("service", "dependency")

Figures = dict[tuple[str, ...], float]


def take(prometheus_url: str, folder: Path) -> list[Path]:
    """Write ``error-rate.txt``, ``latency.txt`` and ``dependencies.txt``; their paths.

    Raises ``LabError`` when Prometheus cannot be asked or knows nothing yet.
    """
    with httpx.Client(base_url=prometheus_url, timeout=10, trust_env=False) as client:
        texts = {
            "error-rate.txt": error_rates(client),
            "latency.txt": latencies(client),
            "dependencies.txt": dependencies(client),
        }
    folder.mkdir(parents=True, exist_ok=True)
    at = datetime.now(UTC)
    for name, text in texts.items():
        (folder / name).write_text(f"{at:%Y-%m-%d %H:%M} UTC, the last {WINDOW}\n\n{text}", encoding="utf-8")
    return [folder / name for name in texts]


def error_rates(client: httpx.Client) -> str:
    """Requests a second and the share of 5xx and of 4xx for each route."""
    total = _ask(
        client, f"sum by (service, route) (rate(http_requests_total{{{_SHOP}}}[{WINDOW}]))", _BY_ROUTE
    )
    by_class = {
        digit: _ask(
            client,
            f'sum by (service, route) (rate(http_requests_total{{{_SHOP},status=~"{digit}.."}}[{WINDOW}]))',
            _BY_ROUTE,
        )
        for digit in "54"
    }
    rows = [
        (*key, f"{rate:.2f}", *(_percent(by_class[digit].get(key, 0.0), rate) for digit in "54"))
        for key, rate in sorted(_require(total).items())
        if rate > 0
    ]
    return _table(("service", "route", "requests/s", "5xx", "4xx"), rows, words=2)


def latencies(client: httpx.Client) -> str:
    """Percentiles for each route in milliseconds."""
    found = {
        quantile: _ask(
            client,
            f"histogram_quantile({quantile}, sum by (service, route, le)"
            f" (rate(http_request_duration_seconds_bucket{{{_SHOP}}}[{WINDOW}])))",
            _BY_ROUTE,
        )
        for quantile in (0.5, 0.95, 0.99)
    }
    rows = [
        (*key, *(_ms(found[quantile].get(key)) for quantile in found))
        for key, median in sorted(_require(found[0.5]).items())
        if median == median  # not a number where nothing was asked
    ]
    return _table(("service", "route", "p50 ms", "p95 ms", "p99 ms"), rows, words=2)


def dependencies(client: httpx.Client) -> str:
    """Calls from service to service: a second, how many fail, and how long they take."""
    calls = _ask(
        client, f"sum by (service, dependency) (rate(dependency_requests_total[{WINDOW}]))", _BY_CALL
    )
    failed = _ask(
        client,
        f'sum by (service, dependency) (rate(dependency_requests_total{{outcome!~"ok|rejected"}}[{WINDOW}]))',
        _BY_CALL,
    )
    p95 = _ask(
        client,
        "histogram_quantile(0.95, sum by (service, dependency, le)"
        f" (rate(dependency_request_duration_seconds_bucket[{WINDOW}])))",
        _BY_CALL,
    )
    rows = [
        (f"{caller} → {called}", f"{rate:.2f}", _percent(failed.get(key, 0.0), rate), _ms(p95.get(key)))
        for key, rate in sorted(_require(calls).items())
        for caller, called in [key]
        if rate > 0
    ]
    return _table(("call", "calls/s", "failed", "p95 ms"), rows, words=1)


def _ask(client: httpx.Client, expression: str, by: Sequence[str]) -> Figures:
    """An instant query, by the labels that it keeps."""
    try:
        answer = client.get("/api/v1/query", params={"query": expression})
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise LabError(f"Prometheus at {client.base_url} does not answer: {error}") from error
    found = answer.json()["data"]["result"]
    return {_key(one["metric"], by): float(one["value"][1]) for one in found}


def _key(labels: Mapping[str, str], by: Sequence[str]) -> tuple[str, ...]:
    return tuple(labels.get(name, "") for name in by)


def _percent(part: float, whole: float) -> str:
    return f"{part / whole * 100:.1f} %"


def _ms(seconds: float | None) -> str:
    return "–" if seconds is None or seconds != seconds else f"{seconds * 1000:.0f}"


def _require(figures: Figures) -> Figures:
    if not figures:
        raise LabError("Prometheus has no figures yet: wait until there was traffic")
    return figures


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], *, words: int) -> str:
    """Columns side by side: the first ``words`` of them to the left, figures to the right."""
    widths = [max(len(row[column]) for row in (head, *rows)) for column in range(len(head))]
    sides = [str.ljust] * words + [str.rjust] * (len(head) - words)
    lines = [
        "  ".join(side(cell, width) for cell, width, side in zip(row, widths, sides, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines) + "\n"
