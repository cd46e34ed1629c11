"""Everything that all services import, imported once in the fork server.

Importing it costs three seconds and 90 MB; a forked child gets it for
nothing. No module named here may start a thread when imported: a thread does
not survive a fork, but the locks that it held do.
"""

import gc
import pkgutil
import sys
from importlib import import_module

import services.common

LIBRARIES = (
    "fastapi",
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "sqlalchemy.dialects.postgresql.psycopg2",
    "psycopg2.sql",
    "httpx",
    "sentry_sdk.integrations.logging",
    "sentry_sdk.integrations.otlp",
    "opentelemetry.sdk.trace.export",
    "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "opentelemetry.instrumentation.httpx",
    "google.protobuf.json_format",
    "structlog",
    "prometheus_client",
    "dns.asyncresolver",
    "dns.zone",
    "pydantic_settings",
    "pydantic.v1",  # FastAPI looks into it when it makes the first route
    "promql_parser",
    "yaml",
    "services.web_ui",  # imports NiceGUI, and nothing of the console
)


def load() -> None:
    """Import it all, and move it out of the collector's sight.

    The collector writes into the objects that it walks over, which would copy
    the shared pages into every child.
    """
    # httpx imports its command line too, with rich and pygments behind it, unless it cannot be imported.
    sys.modules["httpx._main"] = None  # type: ignore[assignment]
    gc.disable()
    try:
        for name in (*LIBRARIES, *_common_modules()):
            import_module(name)
        import_module("services.common.client").trusted_authorities()
    finally:
        gc.freeze()
        gc.enable()


def _common_modules() -> list[str]:
    prefix = f"{services.common.__name__}."
    return [module.name for module in pkgutil.iter_modules(services.common.__path__, prefix)]


load()
