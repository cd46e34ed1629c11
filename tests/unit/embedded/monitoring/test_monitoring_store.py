"""Samples in memory: what is seen when, how series end, and that it stays bounded."""

import math

import pytest

from embedded.monitoring.store import (
    NAME,
    STALE,
    Match,
    Matcher,
    Selector,
    Series,
    Store,
    StoreFull,
    is_stale,
    labels_of,
)

LOOKBACK_MS = 300_000


def series(*samples: tuple[int, float]) -> Series:
    made = Series(labels_of({NAME: "m"}))
    for at_ms, value in samples:
        made.append(at_ms, value)
    return made


def named(store: Store, name: str, **labels: str) -> Series:
    return store.series(labels_of({NAME: name, **labels}))


def test_the_marker_that_ends_a_series_is_no_number_that_a_service_exposes() -> None:
    assert is_stale(STALE)
    assert not is_stale(math.nan)
    assert not is_stale(float("nan") * -1)
    assert not is_stale(0.0)


def test_the_latest_sample_is_the_one_at_or_before_the_moment() -> None:
    one = series((1_000, 1.0), (2_000, 2.0))

    assert one.latest(999, lookback_ms=LOOKBACK_MS) is None
    assert one.latest(1_000, lookback_ms=LOOKBACK_MS) == (1_000, 1.0)
    assert one.latest(1_999, lookback_ms=LOOKBACK_MS) == (1_000, 1.0)


def test_a_sample_older_than_the_look_back_is_not_seen() -> None:
    one = series((1_000, 1.0))

    assert one.latest(1_000 + LOOKBACK_MS, lookback_ms=LOOKBACK_MS) == (1_000, 1.0)
    assert one.latest(1_001 + LOOKBACK_MS, lookback_ms=LOOKBACK_MS) is None


def test_a_series_that_ended_is_gone_at_once_and_was_there_before() -> None:
    one = series((1_000, 1.0))
    one.end(2_000)

    assert one.latest(2_000, lookback_ms=LOOKBACK_MS) is None
    assert one.latest(1_999, lookback_ms=LOOKBACK_MS) == (1_000, 1.0)


def test_a_series_ends_once_and_may_come_back() -> None:
    one = series((1_000, 1.0))
    one.end(2_000)
    one.end(3_000)
    one.append(4_000, 7.0)

    assert len(one) == 3
    assert one.latest(4_000, lookback_ms=LOOKBACK_MS) == (4_000, 7.0)


def test_a_window_has_both_its_ends_and_no_stale_marker() -> None:
    one = series((1_000, 1.0), (2_000, math.nan), (3_000, 3.0))
    one.end(4_000)
    window = one.window(1_000, 4_000)

    assert list(window.at_ms) == [1_000, 2_000, 3_000]
    assert math.isnan(window.values[1])
    assert list(one.window(1_001, 1_999).values) == []


def test_a_sample_that_is_not_later_than_the_last_is_dropped() -> None:
    one = series((2_000, 1.0), (2_000, 5.0), (1_000, 5.0))

    assert list(one.window(0, 9_000).values) == [1.0]


def test_an_hour_is_kept_and_what_is_older_goes() -> None:
    store = Store(retention_ms=3_600_000)
    old, young = named(store, "old"), named(store, "young")
    old.append(0, 1.0)
    young.append(0, 1.0)
    young.append(3_600_000, 2.0)
    store.prune(3_600_001)

    assert [one.labels for one in store] == [young.labels]
    assert len(young) == 1
    assert store.select(Selector("old", ())) == []
    assert (old.is_forgotten, young.is_forgotten) == (True, False)


def test_there_are_never_more_series_than_allowed() -> None:
    store = Store(max_series=2)
    named(store, "m", n="1")
    named(store, "m", n="2")

    with pytest.raises(StoreFull, match="2 series"):
        named(store, "m", n="3")
    assert named(store, "m", n="1") is named(store, "m", n="1")


@pytest.mark.parametrize(
    ("matcher", "found"),
    [
        (Matcher("status", Match.EQUAL, "500"), {"500"}),
        (Matcher("status", Match.NOT_EQUAL, "500"), {"200", "503", ""}),
        (Matcher("status", Match.REGEX, "50."), {"500", "503"}),
        (Matcher("status", Match.REGEX, "50"), set()),
        (Matcher("status", Match.NOT_REGEX, "5.*"), {"200", ""}),
        (Matcher("status", Match.EQUAL, ""), {""}),
    ],
)
def test_a_matcher_compares_the_whole_value_and_absent_is_empty(matcher: Matcher, found: set[str]) -> None:
    store = Store()
    for status in ("200", "500", "503", ""):
        named(store, "requests", status=status)

    selected = store.select(Selector("requests", (matcher,)))

    assert {dict(one.labels).get("status", "") for one in selected} == found


def test_a_selection_sees_series_that_come_later() -> None:
    store = Store()
    selector = Selector("m", ())
    named(store, "m", n="1")
    before = len(store.select(selector))
    named(store, "m", n="2")

    assert (before, len(store.select(selector))) == (1, 2)
