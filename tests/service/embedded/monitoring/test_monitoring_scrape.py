"""Scraping something real: what comes, what vanishes, what cannot be read."""

import asyncio
import socket

import pytest

from embedded.free_ports import free_port
from embedded.monitoring import scrape
from embedded.monitoring.app import new_client
from embedded.monitoring.scrape import Outcome, Scraper
from embedded.monitoring.store import NAME, Selector, Store
from embedded.monitoring.targets import Target
from tests.service.embedded.monitoring.conftest import Exporter

LOOKBACK_MS = 300_000


class Clock:
    """A clock that a test sets; seconds."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def scraped(exporter: Exporter, *bodies: str, store: Store | None = None, timeout_s: float = 2.0) -> Store:
    """Scrape once for each body, five seconds apart on the clock."""
    store = Store() if store is None else store
    return asyncio.run(_scraped(exporter, bodies, store, timeout_s=timeout_s))


async def _scraped(exporter: Exporter, bodies: tuple[str, ...], store: Store, *, timeout_s: float) -> Store:
    clock = Clock()
    target = Target("shop", f"{exporter.url}/metrics")
    async with new_client() as client:
        scraper = Scraper(target, store=store, client=client, timeout_s=timeout_s, clock=clock)
        for body in bodies:
            exporter.body = body
            await scraper.scrape()
            clock.now_s += 5
    return store


def values(store: Store, name: str, at_s: float) -> list[float]:
    found = [s.latest(int(at_s * 1000), lookback_ms=LOOKBACK_MS) for s in store.select(Selector(name, ()))]
    return [sample[1] for sample in found if sample is not None]


def test_a_sample_carries_its_targets_labels(exporter: Exporter) -> None:
    store = scraped(exporter, 'hits{route="/"} 3\n')

    (series,) = store.select(Selector("hits", ()))
    instance = exporter.url.removeprefix("http://")
    assert dict(series.labels) == {NAME: "hits", "route": "/", "job": "shop", "instance": instance}


def test_a_label_that_the_target_has_as_well_is_kept_under_another_name(exporter: Exporter) -> None:
    store = scraped(exporter, 'hits{job="theirs"} 3\n')

    (series,) = store.select(Selector("hits", ()))
    assert dict(series.labels)["job"] == "shop"
    assert dict(series.labels)["exported_job"] == "theirs"


def test_a_series_that_vanishes_is_gone_at_the_next_scrape_and_may_come_back(exporter: Exporter) -> None:
    store = scraped(exporter, "a 1\nb 1\n", "a 2\n", "a 3\nb 5\n")

    assert values(store, "b", 1_004) == [1.0]
    assert values(store, "b", 1_005) == []
    assert values(store, "b", 1_010) == [5.0]
    assert values(store, "a", 1_010) == [3.0]


def test_a_series_that_first_came_in_a_broken_body_is_seen_when_it_comes_whole(exporter: Exporter) -> None:
    store = Store()

    async def scrape_with_a_pause() -> None:
        clock = Clock()
        target = Target("shop", f"{exporter.url}/metrics")
        async with new_client() as client:
            scraper = Scraper(target, store=store, client=client, timeout_s=2, clock=clock)
            for body in ("a 1\nthis is no metric {\n", "a 2\n"):
                exporter.body = body
                await scraper.scrape()
                store.prune(int(clock.now_s * 1000))
                clock.now_s += 5

    asyncio.run(scrape_with_a_pause())

    assert values(store, "a", 1_005) == [2.0]


def test_a_target_that_was_not_scraped_for_longer_than_is_kept_has_its_samples_again(
    exporter: Exporter,
) -> None:
    store = Store()

    async def scrape_around_a_sleep() -> Outcome:
        clock = Clock()
        async with new_client() as client:
            target = Target("shop", f"{exporter.url}/metrics")
            scraper = Scraper(target, store=store, client=client, timeout_s=2, clock=clock)
            exporter.body = 'a 1\nb{x="1"} 1\n'
            await scraper.scrape()
            clock.now_s += 7_200
            store.prune(int(clock.now_s * 1000))
            for n in (2, 3, 4):
                exporter.body = f'a {n}\nb{{x="1"}} {n}\n'
                await scraper.scrape()
                clock.now_s += 5
            return scraper.outcome

    outcome = asyncio.run(scrape_around_a_sleep())

    assert outcome.health == "up"
    for name in ("a", "b"):
        (series,) = store.select(Selector(name, ()))
        assert list(series.window(0, 10_000_000).values) == [2.0, 3.0, 4.0]


def test_what_a_scrape_tells_of_itself(exporter: Exporter) -> None:
    store = scraped(exporter, "a 1\nb 1\n")

    assert values(store, "up", 1_000) == [1.0]
    assert values(store, "scrape_samples_scraped", 1_000) == [2.0]
    assert 0 < values(store, "scrape_duration_seconds", 1_000)[0] < 2


@pytest.mark.parametrize(
    ("broken", "error"),
    [
        ("", "server returned HTTP status 500"),
        ("a one\n", "not a sample: 'a one'"),
        ("a{b} 1\n", "not labels: 'a{b}'"),
        ("x 1\n" * 11, "more than 10 samples"),
        ("y 1\n" * 300, "more than 1000 bytes"),
    ],
)
def test_a_target_whose_answer_cannot_be_used_is_down_and_its_series_end(
    exporter: Exporter, monkeypatch: pytest.MonkeyPatch, broken: str, error: str
) -> None:
    monkeypatch.setattr(scrape, "MAX_SAMPLES", 10)
    monkeypatch.setattr(scrape, "MAX_BODY_BYTES", 1000)
    store = Store()

    async def twice() -> Outcome:
        clock = Clock()
        async with new_client() as client:
            target = Target("shop", f"{exporter.url}/metrics")
            scraper = Scraper(target, store=store, client=client, timeout_s=2.0, clock=clock)
            exporter.body = "a 1\n"
            await scraper.scrape()
            exporter.body, exporter.status = broken, 200 if broken else 500
            clock.now_s += 5
            await scraper.scrape()
            return scraper.outcome

    outcome = asyncio.run(twice())

    assert (outcome.health, outcome.error) == ("down", error)
    assert values(store, "up", 1_005) == [0.0]
    assert values(store, "a", 1_004) == [1.0]
    assert values(store, "a", 1_005) == []


def test_a_target_that_is_not_there_is_down() -> None:
    nobody = Exporter(f"http://127.0.0.1:{free_port()}")

    assert values(scraped(nobody, ""), "up", 1_000) == [0.0]


def test_a_target_that_hangs_is_down_when_the_time_is_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        hanging = Exporter(f"http://127.0.0.1:{silent.getsockname()[1]}")
        store = scraped(hanging, "", timeout_s=0.2)

    assert values(store, "up", 1_000) == [0.0]
    assert values(store, "scrape_duration_seconds", 1_000)[0] < 1


def test_a_full_store_makes_the_target_down_and_not_the_monitoring(exporter: Exporter) -> None:
    store = scraped(exporter, "a 1\nb 1\nc 1\n", store=Store(max_series=2))

    assert len(store) == 2
