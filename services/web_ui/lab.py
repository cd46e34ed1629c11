"""The lab's services as the page Lab sees them: who is up, and the controls of what breaks."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scenarios.model import MODES, Fault, Scenario
from services.web_ui.backends import ADMIN_S, Away, Backend, BackendError
from services.web_ui.schemas import ServiceMode


@dataclass(frozen=True)
class Standing:
    """Whether a service is up, and why not."""

    name: str
    is_up: bool
    reason: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of one step of a change; ``error`` is empty if it was done."""

    service: str
    done: str
    error: str = ""


class Lab:
    """The lab's services."""

    def __init__(self, services: Mapping[str, Backend]) -> None:
        self._services = services

    async def standings(self) -> list[Standing]:
        """How every service stands now. Raises nothing: a service that is away is an answer."""
        return list(await asyncio.gather(*(self._standing(name) for name in self._services)))

    async def modes(self, token: str | None) -> dict[str, str]:
        """The failure mode of every service that has any and answers. Raises ``Refused`` for a bad token."""
        found = await asyncio.gather(*(self._mode(name, token) for name in MODES))
        return {name: mode for name, mode in zip(MODES, found, strict=True) if mode}

    async def enter(self, service: str, mode: str, *, token: str | None) -> Outcome:
        """Switch one service into a failure mode."""
        return await self._post(service, f"/admin/failure-mode/{mode}", done=f"is in {mode}", token=token)

    async def restore(self, services: Sequence[str], *, token: str | None) -> list[Outcome]:
        """Put services back to their baseline: mode, operator settings, world."""
        return await asyncio.gather(
            *(
                self._post(name, "/admin/baseline", done="is back at its baseline", token=token)
                for name in services
            )
        )

    async def start(self, scenario: Scenario, *, token: str | None) -> list[Outcome]:
        """Bring a scenario's faults about, each at its time after the first."""
        begun = asyncio.get_running_loop().time()
        outcomes = []
        for fault in sorted(scenario.faults, key=lambda fault: fault.offset_s):
            await asyncio.sleep(begun + fault.offset_s - asyncio.get_running_loop().time())
            outcomes.append(await self._begin(fault, token))
        return outcomes

    async def _begin(self, fault: Fault, token: str | None) -> Outcome:
        return await self.enter(fault.service, fault.mode, token=token)

    async def _post(self, service: str, path: str, *, done: str, token: str | None) -> Outcome:
        try:
            await self._services[service].change("POST", path, ServiceMode, token=token, at_most_s=ADMIN_S)
        except BackendError as error:
            return Outcome(service, done, error.reason)
        return Outcome(service, done)

    async def _standing(self, name: str) -> Standing:
        try:
            await self._services[name].ping()
        except BackendError as error:
            return Standing(name, is_up=False, reason=error.reason)
        return Standing(name, is_up=True)

    async def _mode(self, name: str, token: str | None) -> str:
        try:
            answer = await self._services[name].read("/admin/failure-mode", ServiceMode, token=token)
        except Away:
            return ""
        return answer.failure_mode
