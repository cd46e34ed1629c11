"""A trace's spans as a tree, whatever is missing or wrong among their parents."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Protocol

from services.telemetry.schemas import SpanNode

MAX_DEPTH = 50
"""Spans below it are shown beside their parent: JSON that is nested deeper, readers refuse."""


class StoredSpan(Protocol):
    """A row of ``telemetry.spans``."""

    span_id: str
    parent_span_id: str | None
    service: str
    name: str
    kind: Any
    status: Any
    status_message: str | None
    started_at: datetime
    duration_ms: float
    attributes: dict[str, Any]
    events: list[Any]


def tree(spans: Sequence[StoredSpan], *, started_at: datetime) -> list[SpanNode]:
    """The roots, each with its children, all ordered by their start.

    A span whose parent is not among ``spans`` is a root. Where parents form a
    circle, the first span of it is one.
    """
    ordered = sorted(spans, key=lambda span: (span.started_at, span.span_id))
    known = {span.span_id for span in ordered}
    children: dict[str | None, list[StoredSpan]] = defaultdict(list)
    for span in ordered:
        children[span.parent_span_id if span.parent_span_id in known else None].append(span)
    placed: set[str] = set()
    roots: list[SpanNode] = []
    for start in (*children[None], *ordered):
        if start.span_id not in placed:
            roots.append(_grown(start, children, placed, started_at=started_at))
    return sorted(roots, key=lambda node: (node.started_at, node.span_id))


def _grown(
    root: StoredSpan,
    children: dict[str | None, list[StoredSpan]],
    placed: set[str],
    *,
    started_at: datetime,
) -> SpanNode:
    """The tree below one span, made without recursion: a chain may be as long as a sender likes."""
    placed.add(root.span_id)
    top = _node(root, depth=0, started_at=started_at)
    waiting = [(top, [top])]
    while waiting:
        node, path = waiting.pop()
        for child in children[node.span_id]:
            if child.span_id in placed:
                continue
            placed.add(child.span_id)
            parents = path[:MAX_DEPTH]
            grown = _node(child, depth=len(parents), started_at=started_at)
            parents[-1].children.append(grown)
            waiting.append((grown, [*parents, grown]))
    return top


def _node(span: StoredSpan, *, depth: int, started_at: datetime) -> SpanNode:
    return SpanNode(
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        service=span.service,
        name=span.name,
        kind=span.kind,
        status=span.status,
        status_message=span.status_message,
        started_at=span.started_at,
        offset_ms=(span.started_at - started_at).total_seconds() * 1000,
        duration_ms=span.duration_ms,
        depth=depth,
        attributes=span.attributes,
        events=span.events,
        children=[],
    )
