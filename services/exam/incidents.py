"""The incidents of a run, asked of incident-management."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import httpx

from services.common.errors import Unavailable

TIMEOUT_S = 5.0
EXAMINER = "examiner"
CLOSED = "Closed before the lab was given to somebody else."


class Incidents:
    """incident-management's API, by its base URL. Its absence is ``Unavailable``."""

    def __init__(self, url: str, *, client: httpx.Client) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/incidents"
        self._client = client

    def details(self, ids: Iterable[str]) -> list[dict[str, Any]]:
        """Each incident with its alerts, notes and timeline."""
        return [self._ask("GET", f"/{one}").json() for one in ids]

    def postmortems(self, incidents: Iterable[dict[str, Any]], *, until: datetime) -> dict[str, str]:
        """The Markdown of each that was last written by ``until``, by incident id.

        One that somebody wrote anew after that is left out, whoever it was: what it said before is gone.
        """
        written = [one["id"] for one in incidents if written_by(one, until=until)]
        texts = {one: self._ask("GET", f"/{one}/postmortem").text for one in written}
        # Looked at again: what was written in between is the text that was read.
        return {one["id"]: texts[one["id"]] for one in self.details(written) if written_by(one, until=until)}

    def close_all(self) -> int:
        """Resolve what is unresolved, so that a new alert is a new incident; how many there were."""
        closed = 0
        while items := self._unresolved():
            for one in items:
                self._ask("PATCH", f"/{one['id']}", json={"status": "resolved", "notes": CLOSED})
            closed += len(items)
        return closed

    def _unresolved(self) -> list[dict[str, Any]]:
        wanted = {"status": ["open", "acknowledged", "in_progress"], "limit": 200}
        items: list[dict[str, Any]] = self._ask("GET", "", params=wanted).json()["items"]
        return items

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = self._client.request(
                method, self._url + path, timeout=TIMEOUT_S, headers={"X-Actor": EXAMINER}, **request
            )
        except httpx.HTTPError as error:
            raise Unavailable(f"incident-management: {type(error).__name__}: {error}") from error
        if response.is_error:
            raise Unavailable(f"incident-management: {response.status_code}: {response.text[:200]}")
        return response


def written_by(incident: dict[str, Any], *, until: datetime) -> bool:
    """Whether an incident has a postmortem that nobody has written to since then."""
    written = [
        datetime.fromisoformat(step["at"]) for step in incident["timeline"] if step["what"] == "postmortem"
    ]
    return bool(written) and max(written) <= until
