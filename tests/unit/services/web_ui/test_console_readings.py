"""A reading is shared, kept while its backend is away, and asked for anew after a change."""

import asyncio

from services.web_ui.backends import Away, Refused
from services.web_ui.readings import KEPT, RETRY_S, Latest, Readings


class Source:
    """A backend that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.error: Away | Refused | None = None

    async def fetch(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.error:
            raise self.error
        return self.asked


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_many_that_look_at_once_ask_once() -> None:
    async def look() -> tuple[set[int | None], int]:
        source = Source()
        latest = Latest(source.fetch, every_s=5, clock=Clock())
        readings = await asyncio.gather(*(latest.get() for _ in range(20)))
        return {reading.value for reading in readings}, source.asked

    assert asyncio.run(look()) == ({1}, 1)


def test_the_last_answer_is_kept_while_the_backend_is_away_and_it_is_asked_again_soon() -> None:
    async def look() -> None:
        source, clock = Source(), Clock()
        latest = Latest(source.fetch, every_s=60, clock=clock)
        first = await latest.get()
        clock.now_s += 60
        source.error = Away("b", "hangs")
        away = await latest.get()
        assert (away.value, away.read_at, away.error) == (first.value, first.read_at, source.error)
        source.error = None
        clock.now_s += RETRY_S
        back = await latest.get()
        assert (back.value, back.error) == (3, None)

    asyncio.run(look())


def test_a_refusal_leaves_nothing_to_show() -> None:
    async def look() -> None:
        source, clock = Source(), Clock()
        latest = Latest(source.fetch, every_s=1, clock=clock)
        await latest.get()
        clock.now_s += 1
        source.error = Refused("b", "no such incident", status=404)
        reading = await latest.get()
        assert reading.is_refused
        assert reading.value is None

    asyncio.run(look())


def test_what_was_asked_before_a_change_is_asked_again_after_it() -> None:
    async def look() -> None:
        source = Source()
        latest = Latest(source.fetch, every_s=60, clock=Clock())
        under_way = asyncio.create_task(latest.get())
        await asyncio.sleep(0)
        latest.forget()
        assert (await under_way).value == 1
        assert (await latest.get()).value == 2
        assert (await latest.get()).value == 2

    asyncio.run(look())


def test_readings_of_many_questions_stay_bounded() -> None:
    async def look() -> tuple[int, int]:
        asked: list[int] = []

        async def fetch(question: int) -> int:
            asked.append(question)
            return question

        readings = Readings(fetch, every_s=60)
        for question in (*range(KEPT + 1), KEPT, 0):
            await readings.of(question).get()
        return asked.count(KEPT), asked.count(0)

    assert asyncio.run(look()) == (1, 2)
