"""The agent that does nothing: it reads the brief and waits until time is up. What doing nothing is worth."""

import asyncio

from exam.agents.tools import Tools, candidate_tools, say

LOOK_EVERY_S = 2.0
OVER = ("grading", "graded", "aborted")


async def do_nothing(tools: Tools) -> None:
    """Wait for the end of the run."""
    brief = await tools("brief")
    say(f"{brief['minutes']:g} minutes; waiting")
    while (await tools("time_left"))["state"] not in OVER:  # noqa: ASYNC110 (a server is asked)
        await asyncio.sleep(LOOK_EVERY_S)


async def main() -> None:
    async with candidate_tools() as tools:
        await do_nothing(tools)


if __name__ == "__main__":
    asyncio.run(main())
