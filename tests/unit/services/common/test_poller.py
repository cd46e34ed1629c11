"""Work beside the requests: done again and again, sooner when woken, and over when its service is."""

import asyncio

import pytest

from services.common.poller import Poller


async def nothing() -> None:
    """What there is to do."""


async def seconds_to_end(*, turns_after_waking: int) -> float:
    """How long a poller takes to end that was woken so many turns of the loop before."""
    poller = Poller("test", nothing, every_s=60)
    async with poller.running():
        await asyncio.sleep(0.01)
        poller.wake()
        for _ in range(turns_after_waking):
            await asyncio.sleep(0)
        began_s = asyncio.get_running_loop().time()
    return asyncio.get_running_loop().time() - began_s


@pytest.mark.parametrize("turns", range(6))
def test_a_poller_that_is_woken_while_it_is_ended_ends_at_once(turns: int) -> None:
    # What keeps it from ending also keeps the cancellation from coming out as an error.
    took_s = asyncio.run(asyncio.wait_for(seconds_to_end(turns_after_waking=turns), 2))

    assert took_s < 1
