"""What an operator may change live: settings of services, releases, DNS records, restarts."""

from ipaddress import IPv4Address
from typing import Annotated

from pydantic import Field, JsonValue

from embedded.errors import LabError
from lab.tools.api import Api, Document, part
from lab.tools.exam import ExamDesk
from lab.tools.metrics import MOST_POINTS, RELEASE_STEP_S, Metrics
from lab.tools.seat import Seat
from services.common.catalog import EXAM

RELEASE = "release"
WITHOUT_A_RUN = "1h"
"""So far back a release may have ended that ran before."""


class Operations:
    """Operator actions. Each is written down under the candidate's name."""

    def __init__(self, seat: Seat, metrics: Metrics) -> None:
        self._seat = seat
        self._metrics = metrics
        self._desk = ExamDesk(seat)

    def list_services(self) -> Document:
        """The lab's services, each with its base URL."""
        return {"services": {name: url for name, url in self._seat.urls.items() if name != EXAM}}

    def get_settings(self, service: str) -> Document:
        """A service's operator settings: their values, who set them, what they mean."""
        return self._of(service).get("/ops/settings")

    def change_settings(self, service: str, settings: dict[str, JsonValue]) -> Document:
        """Change operator settings of a service; null takes the operator's value back."""
        return self._of(service).send("PATCH", "/ops/settings", settings)

    def rollback(
        self,
        service: str,
        release: Annotated[str | None, Field(description="Without one: that which ran before.")] = None,
    ) -> Document:
        """Let a service run as an earlier release, by default the one that ran before in this run."""
        settings = self.get_settings(service)["settings"]
        assert isinstance(settings, dict)
        if RELEASE not in settings:
            raise LabError(f"{service} has no setting {RELEASE!r}: it cannot be rolled back")
        return self.change_settings(service, {RELEASE: release or self._release_before(service, settings)})

    def restart_service(self, service: str) -> Document:
        """Restart a service; requests fail until it is back, a second or a few later."""
        return self._of(service).send("POST", "/ops/restart")

    def get_record(self, name: str) -> Document:
        """The addresses that the zone internal.corp has for a name."""
        return self._of("dns").get(f"/ops/records/{part(name)}")

    def put_record(
        self, name: str, address: IPv4Address, ttl_s: Annotated[int, Field(ge=0, le=86400)] = 5
    ) -> Document:
        """Put an address record into the zone internal.corp, in the place of the name's other ones."""
        body = {"address": str(address), "ttl_s": ttl_s}
        return self._of("dns").send("PUT", f"/ops/records/{part(name)}", body)

    def _of(self, service: str) -> Api:
        if service == EXAM:
            raise LabError(f"{service} is the examiner's, and no part of the shop")
        return Api(self._seat.url(service), actor=self._seat.actor)

    def _release_before(self, service: str, settings: Document) -> str:
        since = self._run_began() if self._seat.token else WITHOUT_A_RUN
        releases = self._metrics.releases(service, since=since)
        if len(releases) < 2:
            running = settings[RELEASE]
            assert isinstance(running, dict)
            trouble = f"{service} runs as {running['value']}, and as no other release within the last {since}"
            raise LabError(f"{trouble}: name the one that is meant")
        return releases[-2]

    def _run_began(self) -> str:
        """How long ago: what ran before that may be what an exam before had broken.

        Not a second more is needed. The run's time begins before anything breaks, and at a
        range's first moment Prometheus gives the sample before it. A pause is not in the run's
        time: after one, the release before may be out of sight, and has to be named.
        """
        time = self._desk.time_left()
        if time["state"] != "running":
            raise LabError(f"the run is {time['state']}: name the release")
        elapsed_s = time["elapsed_s"]
        assert isinstance(elapsed_s, int | float)
        return f"{min(elapsed_s, (MOST_POINTS - 1) * RELEASE_STEP_S):.1f}s"


def address_of(text: str) -> IPv4Address:
    """An address as a person writes it; ``LabError`` if it is none."""
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise LabError(str(error)) from error
