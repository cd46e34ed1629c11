"""Asking an HTTP API of the lab, with errors that say what was asked and what came."""

from collections.abc import Mapping
from typing import Annotated, TypeAlias
from urllib.parse import quote

import httpx
from pydantic import Field, JsonValue

from embedded.errors import IS_THE_LAB_UP, LabError
from services.common.client import trusted_authorities

Document: TypeAlias = dict[str, JsonValue]
"""A JSON object as an API gave it: passed on to whoever asked, not worked with."""

Offset = Annotated[int, Field(ge=0, description="Where the page begins: an answer's `next_offset`.")]

TIMEOUT_S = 20.0
_SHOWN_OF_A_URL = 200


class Api:
    """One service's API. ``LabError`` when it cannot be reached or refuses, with its own words."""

    def __init__(self, base_url: str, *, token: str = "", actor: str = "") -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if actor:
            headers["x-actor"] = actor
        self._base_url = base_url.rstrip("/")
        self._headers = headers

    def get(self, path: str, **params: object) -> Document:
        """``GET``; parameters that are None are left out, a list is one parameter several times."""
        given = {name: _written(value) for name, value in params.items() if value is not None}
        return self._document(self._ask("GET", path, params=given))

    def send(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Document:
        """``POST``, ``PATCH`` or ``PUT`` with a JSON body."""
        return self._document(self._ask(method, path, json=body))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | list[str]] | None = None,
        json: object = None,
    ) -> httpx.Response:
        url = self._base_url + path
        try:
            # A connection for each question: they come seldom, and a service may restart between two.
            with httpx.Client(timeout=TIMEOUT_S, trust_env=False, verify=trusted_authorities()) as client:
                answer = client.request(method, url, params=params, json=json, headers=self._headers)
        except (httpx.InvalidURL, UnicodeError) as error:
            raise LabError(f"{method} {url[:_SHOWN_OF_A_URL]}: cannot be asked for: {error}") from error
        except httpx.HTTPError as error:
            trouble = f"{method} {url}: no answer: {error or type(error).__name__}"
            raise LabError(f"{trouble}. {IS_THE_LAB_UP}") from error
        if answer.is_success:
            return answer
        raise LabError(f"{method} {answer.request.url}: {answer.status_code}: {_reason(answer)}")

    def _document(self, answer: httpx.Response) -> Document:
        try:
            found = answer.json()
        except ValueError as error:
            raise LabError(f"{answer.request.method} {answer.request.url}: the answer is no JSON") from error
        return found if isinstance(found, dict) else {"items": found}


def part(text: str) -> str:
    """``text`` as one part of a path, whatever stands in it; ``LabError`` where it would not be one."""
    if text in ("", ".", ".."):
        raise LabError(f"{text!r} names nothing")
    return quote(text, safe="", errors="replace")


def _written(value: object) -> str | list[str]:
    if isinstance(value, list):
        return [str(one) for one in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reason(answer: httpx.Response) -> str:
    """What the answer says is wrong: our services' ``detail``, Prometheus' ``error``, or its beginning."""
    try:
        found = answer.json()
    except ValueError:
        return answer.text[:500]
    if not isinstance(found, dict):
        return answer.text[:500]
    detail = found.get("detail") or found.get("error") or found
    if isinstance(detail, list):
        return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in detail)
    return str(detail)
