"""What the instrumentation costs: CPU time a request, side by side with a bare FastAPI app in one run."""

import asyncio
import multiprocessing
import os
import statistics
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import psutil
import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel

from bench.figure import Figure
from embedded.free_ports import free_port

ROUNDS = 6
REQUESTS_A_ROUND = 1500
CONNECTIONS = 4

router = APIRouter()


class Greeting(BaseModel):
    """A small answer, as both apps give it."""

    name: str
    visits: int


@router.get("/greeting/{visits}")
async def greet(visits: int) -> Greeting:
    """The same route in both apps."""
    return Greeting(name="grace", visits=visits)


def bare_app() -> FastAPI:
    """FastAPI and the route."""
    app = FastAPI()
    app.include_router(router)
    return app


def full_app() -> FastAPI:
    """The lab's app factory, with everything on and shipped somewhere."""
    from services.common.app import ServiceParts, create_service
    from services.common.settings import ServiceSettings

    return create_service(
        ServiceParts(name="greeter", settings=ServiceSettings(), release=lambda: "bench"), router
    )


class _Sink(BaseHTTPRequestHandler):
    """Takes whatever is shipped."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Quiet."""


def _sink(port: int) -> None:
    ThreadingHTTPServer(("127.0.0.1", port), _Sink).serve_forever()


def _serve(factory: Callable[[], FastAPI], port: int, environment: dict[str, str]) -> None:
    os.environ.update(environment)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    uvicorn.run(factory(), host="127.0.0.1", port=port, log_config=None, access_log=False)


def measure() -> list[Figure]:
    """CPU µs a request of both apps, in alternating rounds; the figure is the ratio of the medians."""
    context = multiprocessing.get_context("spawn")
    sink_port, bare_port, full_port = free_port(), free_port(), free_port()
    sink = f"http://127.0.0.1:{sink_port}"
    shipped = {
        "SENTRY_DSN": f"http://key@127.0.0.1:{sink_port}/1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": sink,
        "PRODSENTINEL_URL": sink,
    }
    processes = [
        context.Process(target=_sink, args=(sink_port,)),
        context.Process(target=_serve, args=(bare_app, bare_port, {})),
        context.Process(target=_serve, args=(full_app, full_port, shipped)),
    ]
    for process in processes:
        process.start()
    try:
        bare_pid, full_pid = processes[1].pid or 0, processes[2].pid or 0
        bare, full = asyncio.run(_alternate((bare_pid, bare_port), (full_pid, full_port)))
    finally:
        for process in processes:
            process.terminate()
            process.join()
    print(f"  CPU a request: bare {bare:.0f} µs, full {full:.0f} µs")
    return [Figure("CPU a request, full instrumentation to bare FastAPI", full / bare, 4, "times")]


async def _alternate(*targets: tuple[int, int]) -> list[float]:
    costs: dict[int, list[float]] = {port: [] for _, port in targets}
    async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
        for _, port in targets:
            await _wait_for(client, port)
        for _ in range(ROUNDS):
            for pid, port in targets:
                costs[port].append(await _cost_us(client, pid, port))
    # The first round pays for what is made once.
    return [statistics.median(costs[port][1:]) for _, port in targets]


async def _cost_us(client: httpx.AsyncClient, pid: int, port: int) -> float:
    process = psutil.Process(pid)
    before = process.cpu_times()

    async def send(count: int) -> None:
        for n in range(count):
            (await client.get(f"http://127.0.0.1:{port}/greeting/{n}")).raise_for_status()

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(send(REQUESTS_A_ROUND // CONNECTIONS))
    after = process.cpu_times()
    used_s = after.user + after.system - before.user - before.system
    return used_s / REQUESTS_A_ROUND * 1e6


async def _wait_for(client: httpx.AsyncClient, port: int) -> None:
    for _ in range(200):
        try:
            (await client.get(f"http://127.0.0.1:{port}/greeting/1")).raise_for_status()
        except httpx.TransportError:
            await asyncio.sleep(0.1)
        else:
            return
    raise TimeoutError(f"nothing answers on port {port}")
