"""The live zone when several threads read, put and restore it at once, as the service's routes do."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import dns.zone
import pytest

from services.dns.settings import SHIPPED_ZONE
from services.dns.zone import LiveZone


@pytest.fixture
def zone(tmp_path: Path) -> LiveZone:
    return LiveZone(tmp_path / "internal.corp.zone", shipped=SHIPPED_ZONE)


@pytest.fixture
def slow_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading a zone file takes long enough for other threads to come by."""
    read = dns.zone.from_file

    def read_slowly(*args: Any, **options: Any) -> dns.zone.Zone:
        time.sleep(0.1)
        return read(*args, **options)

    monkeypatch.setattr(dns.zone, "from_file", read_slowly)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [called.result() for called in [pool.submit(call) for call in calls]]


@pytest.mark.usefixtures("slow_parser")
def test_a_zone_that_is_just_being_loaded_is_waited_for(zone: LiveZone) -> None:
    found = at_once(*[zone.current] * 4)

    assert None not in found


@pytest.mark.usefixtures("slow_parser")
def test_a_zone_that_was_just_changed_is_not_answered_from_as_it_was(zone: LiveZone) -> None:
    zone.current()
    zone.file.write_text(SHIPPED_ZONE.read_text().replace("127.0.0.1", "127.0.0.9"))

    found = at_once(*[partial(zone.find, "fraud-api", "A")] * 4)

    assert found == [["127.0.0.9"]] * 4


def test_putting_and_restoring_at_once_leaves_a_whole_zone(zone: LiveZone) -> None:
    def put() -> None:
        for n in range(50):
            zone.put("search", "A", f"10.1.2.{n}", ttl_s=5)

    def restore() -> None:
        for _ in range(50):
            zone.restore()

    at_once(put, restore, put, restore)

    assert zone.find("fraud-api", "A") == ["127.0.0.1"]
    assert [file.name for file in zone.file.parent.iterdir()] == [zone.file.name]
