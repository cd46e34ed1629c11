"""Calls to what the console shows. Each has a deadline, and each failure names its backend."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import httpx
from opentelemetry import context, trace
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from pydantic import BaseModel, TypeAdapter, ValidationError

from services.common import deadline
from services.common.client import Dependency
from services.common.errors import ServiceError

READ_S = 2.0
CHANGE_S = 5.0
ADMIN_S = 20.0
"""A failure mode or the baseline may have to wait for locks."""

T = TypeVar("T")
Params = Mapping[str, str] | Sequence[tuple[str, str]]


class BackendError(Exception):
    """A backend did not do what it was asked. ``str()`` names it and says why."""

    def __init__(self, backend: str, reason: str) -> None:
        super().__init__(f"{backend}: {reason}")
        self.backend = backend
        self.reason = reason


class Away(BackendError):
    """No usable answer: not reachable, too late, a 5xx, or nothing that can be read."""


class Refused(BackendError):
    """The backend answered that this is not allowed (4xx); ``reason`` is its own sentence."""

    def __init__(self, backend: str, reason: str, *, status: int) -> None:
        super().__init__(backend, reason)
        self.status = status


class Backend:
    """One service, as the console calls it."""

    health_path = "/health"

    def __init__(self, name: str, url: str, *, console: str) -> None:
        self.name = name
        self._dependency = Dependency(name, url, service=console)

    async def read(
        self, path: str, answer: type[T], *, params: Params | None = None, token: str | None = None
    ) -> T:
        """GET ``path`` and read the body as ``answer``. Raises ``Away`` or ``Refused``."""
        got = await self._look(path, params=params, headers=_bearer(token))
        return self._parsed(got, answer)

    async def read_text(self, path: str) -> str:
        """GET ``path`` and return the body as text. Raises ``Away`` or ``Refused``."""
        return (await self._look(path)).text

    async def change(
        self,
        method: str,
        path: str,
        answer: type[T],
        *,
        json: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        at_most_s: float = CHANGE_S,
    ) -> T:
        """Send a change and read the body as ``answer``. Raises ``Away`` or ``Refused``."""
        sent = {**(headers or {}), **_bearer(token)}
        got = await self._call(method, path, at_most_s=at_most_s, json=json, headers=sent)
        return self._parsed(got, answer)

    async def remove(self, path: str, *, headers: Mapping[str, str] | None = None) -> None:
        """DELETE ``path``. Raises ``Away`` or ``Refused``."""
        await self._call("DELETE", path, at_most_s=CHANGE_S, headers=dict(headers or {}))

    async def ping(self) -> None:
        """Ask for its health. Raises ``Away`` or ``Refused`` if it is not well."""
        await self._look(self.health_path)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._dependency.aclose()

    async def _look(self, path: str, **sent: Any) -> httpx.Response:
        """Call without a trace: the console asks all the time, and would bury what it is to show."""
        token = context.attach(trace.set_span_in_context(_untraced(), context.Context()))
        try:
            return await self._call("GET", path, at_most_s=READ_S, **sent)
        finally:
            context.detach(token)

    async def _call(self, method: str, path: str, *, at_most_s: float, **sent: Any) -> httpx.Response:
        # A page lives on after the request that it was made by: its deadline is not ours.
        deadline.start(None, default_s=at_most_s + deadline.HOP_MARGIN_S)
        try:
            got = await self._dependency.call(method, path, at_most_s=at_most_s, **sent)
        except ServiceError as error:
            raise Away(self.name, error.detail.removeprefix(f"{self.name}: ")) from error
        if got.status_code >= 500:
            raise Away(self.name, f"{got.status_code}: {_detail(got)}")
        if got.status_code >= 400:
            raise Refused(self.name, _detail(got), status=got.status_code)
        return got

    def _parsed(self, got: httpx.Response, answer: type[T]) -> T:
        try:
            return TypeAdapter(answer).validate_json(got.content)
        except ValidationError as error:
            first = error.errors(include_input=False)[0]
            place = ".".join(str(step) for step in first["loc"]) or "the body"
            raise Away(self.name, f"an answer that cannot be read: {place}: {first['msg']}") from error


class Series(BaseModel):
    """One series of a range query: its labels and ``(unix seconds, value as text)``."""

    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Matrix(BaseModel):
    result: list[Series]


class _RangeAnswer(BaseModel):
    data: _Matrix


class AlertRule(BaseModel):
    """An alerting rule: the name that its alerts carry, and its expression."""

    name: str
    query: str
    type: str = "alerting"


class _Group(BaseModel):
    rules: list[AlertRule]


class _Groups(BaseModel):
    groups: list[_Group]


class _RulesAnswer(BaseModel):
    data: _Groups


class Prometheus(Backend):
    """The part of Prometheus' HTTP API that the console reads (version 1)."""

    health_path = "/-/healthy"

    async def range(self, query: str, *, start: datetime, end: datetime, step_s: int) -> list[Series]:
        """The series of ``query`` from ``start`` to ``end``."""
        params = {
            "query": query,
            "start": str(start.timestamp()),
            "end": str(end.timestamp()),
            "step": str(step_s),
        }
        return (await self.read("/api/v1/query_range", _RangeAnswer, params=params)).data.result

    async def alert_queries(self) -> dict[str, str]:
        """The expression of every alerting rule by the alert's name."""
        answer = await self.read("/api/v1/rules", _RulesAnswer)
        rules = [rule for group in answer.data.groups for rule in group.rules]
        return {rule.name: rule.query for rule in rules if rule.type == "alerting"}


def _untraced() -> trace.Span:
    """A parent that says that it is not recorded, so that nothing below it is (W3C trace flags 00)."""
    ids = RandomIdGenerator()
    return trace.NonRecordingSpan(
        trace.SpanContext(ids.generate_trace_id(), ids.generate_span_id(), is_remote=False)
    )


def _bearer(token: str | None) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"} if token else {}


def _detail(got: httpx.Response) -> str:
    """The answer's own sentence: ``detail``, its first complaint, or the status' name."""
    try:
        detail = got.json()["detail"]
    except (ValueError, KeyError, TypeError):
        return got.reason_phrase or "no reason given"
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        return f"{'.'.join(str(step) for step in detail[0].get('loc', ()))}: {detail[0].get('msg', '')}"
    return str(detail)
