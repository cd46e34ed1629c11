"""The console: a web page on which a person on call sees, acknowledges and resolves incidents."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache

import sentry_sdk
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles
from nicegui import app as pages
from nicegui import ui

from scenarios.model import load_all
from services.common.app import ServiceParts, create_service
from services.web_ui import theme
from services.web_ui.backends import Backend, Prometheus
from services.web_ui.duty import Duty
from services.web_ui.incidents import Incidents
from services.web_ui.lab import Lab
from services.web_ui.not_found import not_found
from services.web_ui.pages import error, errors, incident, incidents, lab, logs, on_call, shop, trace, traces
from services.web_ui.readings import Latest
from services.web_ui.settings import WebUiSettings, addresses
from services.web_ui.signals import read_signals
from services.web_ui.telemetry import Telemetry

NAME = "web-ui"
SIGNALS_EVERY_S = 5.0
RULES_EVERY_S = 60.0
STANDINGS_EVERY_S = 2.0
ROTA_EVERY_S = 10.0


def create_app() -> FastAPI:
    """The app. NiceGUI keeps its pages in the process: one app a process."""
    settings = WebUiSettings()
    services = {name: Backend(name, url, console=NAME) for name, url in addresses().items() if name != NAME}
    prometheus = Prometheus("prometheus", settings.prometheus_url, console=NAME)

    @asynccontextmanager
    async def clients() -> AsyncIterator[None]:
        yield
        for backend in (*services.values(), prometheus):
            await backend.aclose()

    service = create_service(ServiceParts(name=NAME, settings=settings, running=[clients]))
    _add_pages(settings, services, prometheus)
    service.mount("/static", StaticFiles(directory=theme.STATIC))
    pages.add_exception_handler(404, not_found)
    pages.on_exception(sentry_sdk.capture_exception)
    ui.run_with(service, title="Firedrill", dark=None, tailwind=False, show_welcome_message=False)
    return service


def _add_pages(settings: WebUiSettings, services: dict[str, Backend], prometheus: Prometheus) -> None:
    theme.add_assets()
    known = Incidents(services["incident-management"])
    incidents.add_page(known)
    telemetry = Telemetry(services["telemetry"])
    incident.add_page(
        known,
        telemetry,
        Latest(prometheus.alert_queries, every_s=RULES_EVERY_S),
        prometheus_link=settings.prometheus_link,
    )
    shop.add_page(known, Latest(lambda: read_signals(prometheus), every_s=SIGNALS_EVERY_S))
    traces.add_page(telemetry)
    trace.add_page(telemetry)
    logs.add_page(telemetry)
    errors.add_page(telemetry)
    error.add_page(telemetry)
    duty = Duty(services["oncall-service"])
    on_call.add_page(duty, Latest(duty.rota, every_s=ROTA_EVERY_S))
    own_lab = Lab({**services, "prometheus": prometheus})
    lab.add_page(
        own_lab,
        Latest(own_lab.standings, every_s=STANDINGS_EVERY_S),
        cache(load_all),
        access=_access(settings),
    )


def _access(settings: WebUiSettings) -> lab.Access:
    if settings.env != "demo":
        return "off"
    if settings.lab_admin_token is not None:
        return "locked"
    # In a blind lab the mode that a service is in is the answer that is looked for.
    return "off" if settings.lab_blind else "open"
