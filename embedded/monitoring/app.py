"""The monitoring as one application: scrapes, evaluates and notifies while it serves Prometheus' API."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import asynccontextmanager

import httpx
import structlog
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, Histogram, disable_created_metrics, generate_latest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from embedded.monitoring.alertmanager import Notifier
from embedded.monitoring.api import NOT_HEALTHY, Api
from embedded.monitoring.rules import RuleSet, load
from embedded.monitoring.scrape import Scraper
from embedded.monitoring.settings import MonitoringSettings
from embedded.monitoring.store import Store
from embedded.monitoring.targets import targets
from services.common import logs

NAME = "prometheus"
WEBHOOK = "/api/v1/webhooks/alertmanager"
TOLD = "alerts-told.json"
PRUNE_EVERY_S = 60.0
MISSED_EVALUATIONS = 4
"""After so many the monitoring is not healthy."""

log = structlog.get_logger()

disable_created_metrics()  # type: ignore[no-untyped-call]
evaluation_duration = Histogram(
    "prometheus_rule_evaluation_round_seconds",
    "Time for one evaluation of all rules.",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0),
)
series_kept = Gauge("prometheus_tsdb_head_series", "Series in memory.")


class Monitoring:
    """Everything that runs beside the API."""

    def __init__(
        self, settings: MonitoringSettings, environment: Mapping[str, str], *, client: httpx.AsyncClient
    ) -> None:
        self._settings = settings
        self._client = client
        self.store = Store()
        self.rules = RuleSet(load(settings.prometheus_rules), store=self.store)
        self.scrapers = [
            Scraper(target, store=self.store, client=client, timeout_s=settings.scrape_timeout_s)
            for target in targets(environment)
        ]
        self._notifier = Notifier(
            settings.alert_ingestion_url.rstrip("/") + WEBHOOK,
            client=client,
            external_url=settings.prometheus_url,
            expressions={
                rule.name: rule.expression.text for group in self.rules.groups for rule in group.rules
            },
            path=settings.lab_dir / TOLD if settings.lab_dir else None,
            resumes=settings.lab_resumes,
        )
        self._evaluated_at_s = time.monotonic()

    @property
    def is_healthy(self) -> bool:
        """Whether the rules are evaluated as they should be."""
        late_s = time.monotonic() - self._evaluated_at_s
        return late_s < MISSED_EVALUATIONS * self._settings.evaluation_interval_s

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Scrape, evaluate and notify while the block lasts."""
        interval_s = self._settings.scrape_interval_s
        # Spread over the interval, so that they do not all come at once.
        offsets_s = [interval_s * place / len(self.scrapers) for place in range(len(self.scrapers))]
        work = [
            scraper.run(interval_s=interval_s, offset_s=offset_s)
            for scraper, offset_s in zip(self.scrapers, offsets_s, strict=True)
        ]
        tasks = [_in_background(one) for one in (*work, self._evaluate(), self._prune())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._notifier.close()
            await self._client.aclose()

    async def _evaluate(self) -> None:
        interval_s = self._settings.evaluation_interval_s
        while True:
            await asyncio.sleep(interval_s - time.time() % interval_s)
            with evaluation_duration.time():
                self._notifier.update(self.rules.evaluate(int(time.time() * 1000)))
            self._evaluated_at_s = time.monotonic()
            series_kept.set(len(self.store))

    async def _prune(self) -> None:
        while True:
            await asyncio.sleep(PRUNE_EVERY_S)
            self.store.prune(int(time.time() * 1000))


def create_app() -> Starlette:
    """The application. Raises ``RuleFileError`` when the rules cannot be used."""
    settings = MonitoringSettings()
    logs.set_up(NAME)
    monitoring = Monitoring(settings, os.environ, client=new_client())

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        async with monitoring.running():
            yield

    async def health(_request: Request) -> Response:
        if not monitoring.is_healthy:
            return JSONResponse({"detail": NOT_HEALTHY}, 503)
        return JSONResponse({"status": "ok", "service": NAME})

    async def read_metrics(_request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    api = Api(
        monitoring.store,
        monitoring.scrapers,
        monitoring.rules,
        interval_s=settings.evaluation_interval_s,
        is_healthy=lambda: monitoring.is_healthy,
    )
    return Starlette(
        routes=[Route("/health", health), Route("/metrics", read_metrics), *api.routes()],
        middleware=[
            Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
        ],
        lifespan=lifespan,
    )


def new_client() -> httpx.AsyncClient:
    """A client that opens a connection for each request.

    A server that closes idle ones after as long as a scrape's interval would
    now and then close one just as it is used, and look down. Without a limit:
    a scrape that is given up while it connects keeps its place in the pool.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx.AsyncClient(trust_env=False, follow_redirects=False, limits=limits)


def _in_background(work: Awaitable[None]) -> "asyncio.Task[None]":
    task = asyncio.ensure_future(work)
    task.add_done_callback(_end_on_failure)
    return task


def _end_on_failure(task: "asyncio.Task[None]") -> None:
    """Half a monitoring is worse than none: whoever watches over this process starts it anew."""
    if task.cancelled() or task.exception() is None:
        return
    log.critical("monitoring.failed", exc_info=task.exception())
    os.kill(os.getpid(), signal.SIGTERM)
