"""A lab of two tiny services on a real Postgres; run as a program it lasts until it is told to end.

Its services import nothing heavy, so that a test of the supervisor takes a second and not five.
"""

import json
import os
import signal
import sys
import threading
from contextlib import closing
from dataclasses import dataclass, field

import psycopg2

from embedded.environment import settings, user_environment
from embedded.supervisor import Plan, run
from services.common.catalog import Service


@dataclass(frozen=True)
class TinyService(Service):
    """A service whose app is in this file."""

    factory: str = field(default="create_app", kw_only=True)

    @property
    def app(self) -> str:
        return f"embedded_tiny_lab:{self.factory}"


SERVICES = [
    TinyService("tiny-one", "none", 0),
    TinyService("tiny-two", "none", 0, database=False),
]


def create_app():
    """Answers ``/health``, and logs a warning for ``/warn``."""

    async def app(scope, receive, send):
        if scope["type"] == "lifespan":
            await answer_lifespan(receive, send)
            return
        if scope["path"] == "/warn":
            line = {"timestamp": "2026-01-01T00:00:00Z", "level": "warning", "event": "tiny.trouble"}
            print(json.dumps(line))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(dict(os.environ)).encode()})

    return app


async def answer_lifespan(receive, send):
    """Say yes to start and end."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


def create_broken_app():
    """A service that cannot start."""
    raise RuntimeError("the tiny service is broken")


def prepare():
    """Make the lab's database, without the shop's schema."""
    url = os.environ["ADMIN_DATABASE_URL"].replace("+psycopg2", "")
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = 'firedrill'")
            if cursor.fetchone() is None:
                cursor.execute("CREATE DATABASE firedrill")


def keep_schedule():
    """A schedule that says one phase, and what it was told to end by."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    say("phase.started", has_exam_door="EXAM_DATABASE_URL" in os.environ)
    ended.wait()
    say("phase.reverted")


def say(event, **fields):
    """Write one line of the schedule's log."""
    print(json.dumps({"timestamp": "2026-01-01T00:00:00Z", "level": "info", "event": event, **fields}))


def main():
    """Run the tiny lab; with ``broken`` as argument its second service cannot start."""
    if "prepare" in sys.argv:
        prepare()
        return 0
    services = list(SERVICES)
    if "broken" in sys.argv:
        services[1] = TinyService("tiny-two", "none", 0, database=False, factory="create_broken_app")
    plan = Plan(
        preload=("uvicorn", "psycopg2"),
        prepare_database=(sys.executable, __file__, "prepare"),
        schedule="embedded_tiny_lab:keep_schedule",
        traffic=lambda lab: [
            *(sys.executable, "-m", "http.server", str(lab.traffic_port)),
            *("--bind", lab.bind, "--directory", str(lab.directory / "dns")),
        ],
    )
    return run(settings(user_environment(), services=services), plan=plan)


if __name__ == "__main__":
    sys.exit(main())
