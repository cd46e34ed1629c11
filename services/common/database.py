"""The database of a service: one pool that can be resized while it works, and is measured.

The pool is SQLAlchemy's ``QueuePool`` without overflow: a caller waits up to
``pool_timeout_s`` for a connection and then gets its ``TimeoutError``.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext, make_url
from sqlalchemy.pool import ConnectionPoolEntry, NullPool, QueuePool

from services.common import metrics

POOL_TIMEOUT_S = 1.0
PING_TIMEOUT_S = 2


def driver_url(database_url: str) -> URL:
    """The URL with the driver that the lab uses; SQLAlchemy's default for Postgres is another."""
    url = make_url(database_url)
    if url.get_backend_name() == "postgresql":
        return url.set(drivername="postgresql+psycopg2")
    return url


class Database:
    """A pool of connections to one database.

    ``service`` labels the metrics and is the sessions' ``application_name``.
    ``schema`` is where the service's tables live; SQLite has no schemas, so
    there it is left out of every statement.
    """

    def __init__(
        self,
        database_url: str,
        *,
        service: str,
        schema: str,
        pool_size: int = 10,
        pool_timeout_s: float = POOL_TIMEOUT_S,
        pre_ping: bool = True,
    ) -> None:
        self.url = driver_url(database_url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self._service = service
        self._schema = schema
        self._pool_timeout_s = pool_timeout_s
        self._waiting = 0
        self._pool_wait = metrics.db_pool_wait.labels(service)
        self._on_connect: Callable[[Any, ConnectionPoolEntry], None] | None = None
        self._ping_engine = create_engine(self.url, poolclass=NullPool, connect_args=self._connect_args())
        self._control_engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=1,
            pool_pre_ping=True,
            connect_args=self._connect_args(),
            execution_options=self._execution_options(),
        )
        self.engine = self._new_engine(pool_size=pool_size, pre_ping=pre_ping)
        self.pool_size = pool_size
        self.pre_ping = pre_ping
        metrics.db_pool_size.labels(service).set_function(lambda: self.pool_size)
        metrics.db_pool_in_use.labels(service).set_function(self.in_use)
        metrics.db_pool_waiting.labels(service).set_function(lambda: self._waiting)

    def on_connect(self, listener: Callable[[Any, ConnectionPoolEntry], None]) -> None:
        """Call ``listener`` with every new driver connection."""
        self._on_connect = listener
        event.listen(self.engine, "connect", listener)

    def resize(self, *, pool_size: int, pre_ping: bool) -> None:
        """Replace the pool. Sessions in flight end on the old one, which closes as they do."""
        if (pool_size, pre_ping) == (self.pool_size, self.pre_ping):
            return
        old, self.engine = self.engine, self._new_engine(pool_size=pool_size, pre_ping=pre_ping)
        self.pool_size, self.pre_ping = pool_size, pre_ping
        old.dispose()

    def in_use(self) -> int:
        """How many connections are checked out now."""
        pool = self.engine.pool
        assert isinstance(pool, QueuePool)
        return pool.checkedout()

    def checkout(self) -> Connection:
        """A connection with a transaction to begin; the caller must close it.

        Raises SQLAlchemy's ``TimeoutError`` when the pool stays empty, and
        ``OperationalError`` when the database is away.
        """
        started = time.perf_counter()
        self._waiting += 1
        try:
            return self.engine.connect()
        finally:
            self._waiting -= 1
            self._pool_wait.observe(time.perf_counter() - started)

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A transaction: committed when the block ends, rolled back when it raises."""
        with self.checkout() as connection, connection.begin():
            yield connection

    @contextmanager
    def control_transaction(self) -> Iterator[Connection]:
        """A transaction outside the pool, for what an operator does: it must work when the pool does not."""
        with self._control_engine.begin() as connection:
            yield connection

    def ping(self) -> None:
        """Ask the database for an answer, outside the pool; raises what the driver raises."""
        with self._ping_engine.connect() as connection:
            connection.execute(text("select 1"))

    def dispose(self) -> None:
        """Close every idle connection."""
        self.engine.dispose()
        self._control_engine.dispose()

    def _execution_options(self) -> dict[str, Any]:
        return {"schema_translate_map": {self._schema: None, "ops": None}} if self.is_sqlite else {}

    def _connect_args(self) -> dict[str, Any]:
        if self.is_sqlite:
            return {"check_same_thread": False}
        return {
            "application_name": self._service,
            "connect_timeout": PING_TIMEOUT_S,
            "options": f"-c search_path={self._schema},public",
        }

    def _new_engine(self, *, pool_size: int, pre_ping: bool) -> Engine:
        engine = create_engine(
            self.url,
            poolclass=QueuePool,
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=self._pool_timeout_s,
            pool_pre_ping=pre_ping,
            connect_args=self._connect_args(),
            execution_options=self._execution_options(),
        )
        _observe_statements(engine, service=self._service)
        if self._on_connect is not None:
            event.listen(engine, "connect", self._on_connect)
        return engine


def _observe_statements(engine: Engine, *, service: str) -> None:
    """Time each statement and make it a client span, named after its verb as OpenTelemetry's conventions say.

    The ready-made instrumentation serves one engine a process, and this one is replaced live.
    """
    tracer = trace.get_tracer("firedrill.database")
    system = engine.dialect.name
    duration = metrics.db_query.labels(service)

    @event.listens_for(engine, "before_cursor_execute")
    def begin(_c: Any, _cursor: Any, statement: str, _p: Any, context: Any, _many: bool) -> None:
        verb = statement.lstrip().partition(" ")[0].upper()
        span = tracer.start_span(
            verb,
            kind=trace.SpanKind.CLIENT,
            attributes={"db.system.name": system, "db.operation.name": verb, "db.query.text": statement},
        )
        context.firedrill_statement = span, time.perf_counter()

    @event.listens_for(engine, "after_cursor_execute")
    def end(_c: Any, _cursor: Any, _statement: str, _p: Any, context: Any, _many: bool) -> None:
        span, began_s = context.firedrill_statement
        duration.observe(time.perf_counter() - began_s)
        span.end()

    @event.listens_for(engine, "handle_error")
    def fail(context: ExceptionContext) -> None:
        statement = getattr(context.execution_context, "firedrill_statement", None)
        if statement is not None:
            span, began_s = statement
            duration.observe(time.perf_counter() - began_s)
            span.record_exception(context.original_exception)
            span.set_status(trace.StatusCode.ERROR)
            span.end()
