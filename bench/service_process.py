"""One service of the lab as a process of its own, as benches measure it."""

import multiprocessing
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

import httpx

from embedded.free_ports import free_port
from services.common.catalog import SERVICES, service
from services.common.serving import serve

START_DEADLINE_S = 60.0


@contextmanager
def serving(name: str, *, port: int, environment: Mapping[str, str]) -> Iterator[BaseProcess]:
    """The service on ``port``, healthy when the block begins. Raises ``TimeoutError``.

    A service that ``environment`` does not name is nowhere, even if a lab runs beside: its people must
    not be paged for what is measured, nor its load be part of it.
    """
    nowhere = f"http://127.0.0.1:{free_port()}"
    alone = {f"{one.variable_prefix}_URL": nowhere for one in SERVICES}
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(name, port, {**alone, **environment})
    )
    process.start()
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        yield process
    finally:
        process.terminate()
        process.join()


def _serve(name: str, port: int, environment: Mapping[str, str]) -> None:
    os.environ.update(environment)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    serve(service(name).app, "127.0.0.1", port)


def _wait_for(url: str) -> None:
    ends_at = time.monotonic() + START_DEADLINE_S
    last: object = None
    while time.monotonic() < ends_at:
        try:
            last = httpx.get(url, trust_env=False)
            if last.status_code == 200:
                return
            last = last.text
        except httpx.TransportError as error:
            last = error
        time.sleep(0.1)
    raise TimeoutError(f"{url} does not become healthy: {last}")
