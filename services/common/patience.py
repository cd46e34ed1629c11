"""Waiting so long for an HTTP answer, and not longer."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import httpx

_left: "set[asyncio.Task[httpx.Response]]" = set()
"""Requests that nobody waits for any more; the set keeps them alive until they end."""


async def answer_within(
    seconds: float, client: httpx.AsyncClient, method: str, url: str, **request: Any
) -> httpx.Response:
    """What ``client.request`` returns, if it does so within ``seconds``; otherwise ``TimeoutError``.

    The request is not cancelled but left to its own time-outs, which end it
    right after: cancelled in the middle of connecting it would keep its place
    in the client's pool for ever (httpcore 1.0), and a hundred of those would
    leave none.
    """
    asked: Coroutine[Any, Any, httpx.Response] = client.request(method, url, timeout=seconds, **request)
    task = asyncio.create_task(asked)
    _left.add(task)
    task.add_done_callback(_forget)
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if not done:
        raise TimeoutError
    try:
        return task.result()
    except httpx.TimeoutException as error:
        raise TimeoutError from error


def _forget(task: "asyncio.Task[httpx.Response]") -> None:
    _left.discard(task)
    if not task.cancelled():
        # Asked for, so that nobody hears of an error that nobody waits for.
        task.exception()
