"""The page Lab: which services are up, and for whoever may, the controls of what breaks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from nicegui import ui

from scenarios.model import MODES, NO_FAULT, Scenario
from services.web_ui.actions import say
from services.web_ui.backends import Refused
from services.web_ui.lab import Lab, Outcome, Standing
from services.web_ui.parts import button, icon, section, set_attributes, tag
from services.web_ui.readings import Latest
from services.web_ui.theme import frame

REFRESH_S = 2.0
Access = Literal["off", "locked", "open"]


def add_page(
    lab: Lab,
    standings: Latest[list[Standing]],
    scenarios: Callable[[], Mapping[str, Scenario]],
    *,
    access: Access,
) -> None:
    """Register the page at ``/lab``.

    ``scenarios`` are read when they are first shown: it takes a tenth of a second.
    ``access`` is what a visitor may do who has given no token: ``off`` means
    that nobody may break anything here, ``locked`` that a token is needed.
    """

    @ui.page("/lab")
    def lab_page() -> None:
        with frame("Lab", title="Lab"):
            tag("h1", "Lab")
            with tag("div", classes="columns lab"):
                services = _Services(standings)
                with tag("div"):
                    _Controls(lab, services, scenarios, access=access)


class _Services:
    """The list of services: up or down, and their failure modes for whoever may see them."""

    def __init__(self, standings: Latest[list[Standing]]) -> None:
        self._standings = standings
        with section("Services", classes="services"):
            self._count = tag("p", "Asking every service…", classes="muted")
            self._list = tag("div", classes="service-list")
        self._rows: dict[str, _ServiceRow] = {}
        ui.timer(REFRESH_S, self._refresh)

    def show_modes(self, modes: Mapping[str, str]) -> None:
        """Show the failure modes of these services."""
        for name, row in self._rows.items():
            row.show_mode(modes.get(name, ""))

    async def _refresh(self) -> None:
        standings = (await self._standings.get()).value or []
        for standing in standings:
            if standing.name not in self._rows:
                with self._list:
                    self._rows[standing.name] = _ServiceRow(standing.name)
            self._rows[standing.name].show(standing)
        up = sum(standing.is_up for standing in standings)
        self._count.set_text(f"{up} of {len(standings)} are up")


class _ServiceRow:
    def __init__(self, name: str) -> None:
        with tag("div", classes="service-row", data_service=name):
            tag("span", name, classes="title")
            self._mode = tag("code", classes="mode")
            self._state = tag("span")
            self._reason = tag("span", classes="muted reason")
        self._mode.set_visibility(False)

    def show(self, standing: Standing) -> None:
        self._state.set_text("Up" if standing.is_up else "Down")
        self._state.classes(replace=f"status status-{'resolved' if standing.is_up else 'open'}")
        self._reason.set_text(standing.reason)
        self._reason.set_visibility(bool(standing.reason))

    def show_mode(self, mode: str) -> None:
        self._mode.set_text(mode)
        self._mode.set_visibility(mode not in ("", NO_FAULT))


class _Controls:
    """Scenarios and failure modes. The token lives as long as this page, and only in its memory."""

    def __init__(
        self,
        lab: Lab,
        services: _Services,
        scenarios: Callable[[], Mapping[str, Scenario]],
        *,
        access: Access,
    ) -> None:
        self._lab = lab
        self._services = services
        self._scenarios = scenarios
        self._token: str | None = None
        self._box = tag("div", classes="controls")
        with self._box:
            if access == "off":
                _say_off()
            elif access == "locked":
                self._ask_for_token()
            else:
                self._add()

    def _ask_for_token(self) -> None:
        with section("Controls"):
            tag("p", "What breaks here is for whoever has the lab's admin token.")
            field = ui.input("Admin token", password=True).props("outlined dense autocomplete=off")
            field.classes("full-width").on("keydown.enter", lambda: self._unlock(field))
            with tag("div", classes="note-actions"):
                button("Unlock", lambda: self._unlock(field))

    async def _unlock(self, field: ui.input) -> None:
        token = (field.value or "").strip()
        if not token:
            return
        try:
            modes = await self._lab.modes(token)
        except Refused as error:
            # Whoever guessed too often may get 429 for the right token, too.
            why = "That is not the admin token." if error.status == 403 else f"Not unlocked: {error.reason}"
            say(why, kind="warning")
            return
        if not modes:
            say("No service is there to check the token: try again when one is up.", kind="negative")
            return
        self._token = token
        self._box.clear()
        with self._box:
            self._add()

    def _add(self) -> None:
        with section("Scenarios"):
            tag(
                "p",
                "Starting one brings its faults about now. The lab's own schedule goes on beside it"
                " and puts services back when its phase ends.",
                classes="muted",
            )
            for scenario in self._scenarios().values():
                if scenario.faults:
                    self._add_scenario(scenario)
            button("Everything back to the baseline", self._restore_all, symbol="restart_alt")
        with section("One failure mode"):
            self._add_mode_form()
        ui.timer(REFRESH_S, self._refresh_modes)

    def _add_scenario(self, scenario: Scenario) -> None:
        with tag("div", classes="scenario", data_scenario=scenario.name):
            with tag("div"):
                tag("strong", scenario.title)
                faults = ", ".join(f"{fault.service}: {fault.mode}" for fault in scenario.faults)
                tag("p", f"{scenario.name} · {scenario.difficulty} · {faults}", classes="muted")
            starter = button("Start", lambda: self._start(scenario), look="outline")
            set_attributes(starter, aria_label=f"Start {scenario.name}")

    def _add_mode_form(self) -> None:
        choices = {
            f"{service} {mode}": f"{service}: {mode}"
            for service in MODES
            for mode in (*MODES[service], NO_FAULT)
        }
        with tag("div", classes="mode-form"):
            choice = ui.select(choices, label="Service and mode", value=next(iter(choices)))
            choice.props("outlined dense options-dense behavior=menu").classes("grow")

            async def enter() -> None:
                service, _, mode = str(choice.value).partition(" ")
                _report([await self._lab.enter(service, mode, token=self._token)])
                await self._refresh_modes()

            async def restore() -> None:
                service = str(choice.value).partition(" ")[0]
                _report(await self._lab.restore([service], token=self._token))
                await self._refresh_modes()

            button("Switch", enter, look="outline")
            button("Baseline", restore, look="outline")

    async def _start(self, scenario: Scenario) -> None:
        say(f"Starting {scenario.name}…")
        _report(await self._lab.start(scenario, token=self._token))
        await self._refresh_modes()

    async def _restore_all(self) -> None:
        _report(await self._lab.restore(list(MODES), token=self._token))
        await self._refresh_modes()

    async def _refresh_modes(self) -> None:
        try:
            modes = await self._lab.modes(self._token)
        except Refused as error:
            say(f"The controls are closed: {error.reason}", kind="warning")
            self._box.clear()
            with self._box:
                self._ask_for_token()
            return
        self._services.show_modes(modes)


def _say_off() -> None:
    with section("Controls"):
        with tag("p", classes="with-icon"):
            icon("lock")
            tag("span", "Nothing can be broken from here.")
        tag(
            "p",
            "Failure modes are switched live only with ENV=demo,"
            " and in a blind lab only with LAB_ADMIN_TOKEN set.",
            classes="muted",
        )


def _report(outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        if outcome.error:
            say(f"{outcome.service}: {outcome.error}", kind="negative")
        else:
            say(f"{outcome.service} {outcome.done}", kind="positive")
