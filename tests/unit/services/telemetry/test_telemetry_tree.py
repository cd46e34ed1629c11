"""A tree of spans, whatever is missing or wrong among their parents."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from services.telemetry.schemas import SpanNode
from services.telemetry.tree import MAX_DEPTH, tree

START = datetime(2026, 11, 21, 10, tzinfo=UTC)


@dataclass
class Stored:
    span_id: str
    parent_span_id: str | None = None
    at_ms: int = 0
    service: str = "till"
    name: str = "GET"
    kind: str = "server"
    status: str = "unset"
    status_message: str | None = None
    duration_ms: float = 1.0
    attributes: dict[str, Any] = field(default_factory=dict)
    events: list[Any] = field(default_factory=list)

    @property
    def started_at(self) -> datetime:
        return START + timedelta(milliseconds=self.at_ms)


def shape(nodes: list[SpanNode]) -> list[Any]:
    """Ids, each with its children's."""
    return [(node.span_id, shape(node.children)) if node.children else node.span_id for node in nodes]


def test_children_stand_under_their_parents_in_the_order_of_their_start() -> None:
    spans = [Stored("c", "a", 3), Stored("b", "a", 2), Stored("a"), Stored("d", "b", 4)]

    [root] = tree(spans, started_at=START)

    assert shape([root]) == [("a", [("b", ["d"]), "c"])]
    assert (root.depth, root.children[0].depth, root.children[0].children[0].depth) == (0, 1, 2)
    assert root.children[1].offset_ms == 3.0


def test_a_span_whose_parent_is_unknown_is_a_root() -> None:
    assert shape(tree([Stored("b", "gone", 1), Stored("a")], started_at=START)) == ["a", "b"]


def test_parents_that_form_a_circle_lose_no_span() -> None:
    spans = [Stored("a", "c", 1), Stored("b", "a", 2), Stored("c", "b", 3), Stored("self", "self")]

    assert shape(tree(spans, started_at=START)) == ["self", ("a", [("b", ["c"])])]


def test_a_chain_as_long_as_one_likes_is_shown_as_deep_as_json_may_be() -> None:
    spans = [Stored(str(n), str(n - 1) if n else None, n) for n in range(1000)]

    [node] = tree(spans, started_at=START)

    count, deepest = 0, node
    waiting = [node]
    while waiting:
        one = waiting.pop()
        waiting += one.children
        count += 1
        deepest = max(deepest, one, key=lambda found: found.depth)
    assert count == 1000
    assert deepest.depth == MAX_DEPTH
