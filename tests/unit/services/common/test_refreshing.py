"""The operator's layer is read again and again, whatever becomes of one reading."""

import asyncio
import threading

import pytest

from services.common import app
from services.common.app import NoSettings, refreshing
from services.common.ops import OperatorSettings


class Readings(OperatorSettings[NoSettings]):
    """Counts its readings, of which the second meets what nobody thought of."""

    def __init__(self) -> None:
        super().__init__("test", NoSettings(), database=None)
        self.count = 0
        self.went_on = threading.Event()

    def refresh(self) -> None:
        self.count += 1
        if self.count == 2:
            raise RuntimeError("what nobody thought of")
        if self.count == 4:
            self.went_on.set()


async def read_for_a_while(operator: Readings) -> tuple[int, bool]:
    """How often it had been read when the block began, and whether it was read again after the error."""
    async with refreshing(operator):
        at_the_start = operator.count
        return at_the_start, await asyncio.to_thread(operator.went_on.wait, 5)


def test_an_error_that_nobody_thought_of_does_not_end_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "REFRESH_S", 0.05)

    readings = asyncio.run(read_for_a_while(Readings()))

    assert readings == (1, True)
