"""The page On call: who is on now, the next hand-offs, and who stands in."""

from datetime import timedelta

from nicegui import ui

from services.web_ui.actions import say
from services.web_ui.backends import BackendError
from services.web_ui.duty import EVERY_TEAM, TEAMS, Duty, Rota
from services.web_ui.parts import button, countdown, empty_state, section, set_attributes, tag
from services.web_ui.readings import Latest
from services.web_ui.schemas import DutyTimeline, Override
from services.web_ui.text import moment
from services.web_ui.theme import LINE, Frame, frame

REFRESH_S = 5.0
HANDOFFS_SHOWN = 8
_SOURCES = {"rotation": "own rotation", "default": "default schedule", "override": "stands in"}
_LASTING = {
    1: "1 hour",
    4: "4 hours",
    8: "8 hours",
    24: "1 day",
    72: "3 days",
    168: "1 week",
}


def add_page(duty: Duty, rota: Latest[Rota]) -> None:
    """Register the page at ``/on-call``."""

    @ui.page("/on-call")
    def on_call_page() -> None:
        with frame("On call", title="On call") as parts:
            _OnCallPage(duty, rota, parts)


class _OnCallPage:
    def __init__(self, duty: Duty, rota: Latest[Rota], parts: Frame) -> None:
        self._duty = duty
        self._rota = rota
        self._parts = parts
        tag("h1", "On call")
        with tag("div", classes="columns"):
            with tag("div"):
                with section("On call now"):
                    self._now = tag("div")
                with section("Next hand-offs"):
                    self._handoffs = tag("div")
            with tag("div"):
                with section("Overrides"):
                    self._overrides = tag("div")
                with section("Stand in"):
                    self._add_form()
        self._shown: Rota | None = None
        for box in (self._now, self._handoffs, self._overrides):
            with box:
                tag("p", "Loading…", classes="muted")
        ui.timer(REFRESH_S, self._refresh)

    def _add_form(self) -> None:
        teams = {EVERY_TEAM: "Every team without its own schedule", **{team: team for team in TEAMS}}
        with tag("div", classes="override-form"):
            self._team = ui.select(teams, label="Team", value=EVERY_TEAM).classes("full-width")
            self._engineer = ui.input("Who", value=self._parts.visitor.name).classes("full-width")
            self._lasting = ui.select(_LASTING, label="From now, for", value=8).classes("full-width")
            for field in (self._team, self._lasting):
                field.props("outlined dense options-dense behavior=menu")
            self._engineer.props("outlined dense maxlength=100 autocomplete=off")
            button("Put on call", self._stand_in)

    async def _stand_in(self) -> None:
        engineer = (self._engineer.value or "").strip()
        if not LINE.fullmatch(engineer):
            say("Say who is to stand in.", kind="warning")
            return
        actor = await self._parts.visitor.known()
        if actor is None:
            return
        try:
            made = await self._duty.stand_in(
                team=str(self._team.value),
                engineer=engineer,
                lasting=timedelta(hours=self._lasting.value or 0),
                actor=actor,
            )
        except BackendError as error:
            say(f"Not put on call: {error}", kind="negative")
            return
        say(f"{made.engineer} is on call until {moment(made.ends_at)}", kind="positive")
        self._rota.forget()
        await self._refresh()

    async def _refresh(self) -> None:
        reading = await self._rota.get()
        self._parts.problems.show([reading])
        rota = reading.value
        if rota is None:
            self._show_nothing()
        elif rota != self._shown:
            self._shown = rota
            self._show(rota)

    def _show_nothing(self) -> None:
        self._shown = None
        for box in (self._now, self._handoffs, self._overrides):
            box.clear()
        with self._now:
            empty_state(
                "cloud_off",
                "Who is on call cannot be read.",
                "Pages already on their way are still delivered; this page fills itself when it is back.",
            )

    def _show(self, rota: Rota) -> None:
        for box in (self._now, self._handoffs, self._overrides):
            box.clear()
        with self._now:
            for timeline in rota.timelines:
                _add_duty(timeline)
        with self._handoffs:
            _add_handoffs(rota)
        with self._overrides:
            self._add_overrides(rota)

    def _add_overrides(self, rota: Rota) -> None:
        if not rota.overrides:
            tag("p", "Nobody stands in for anybody. Below, somebody can be put on call.", classes="muted")
        for override in sorted(rota.overrides, key=lambda override: override.starts_at):
            with tag("div", classes="duty"):
                tag("strong", override.engineer)
                everybody = override.team == EVERY_TEAM
                tag("span", "every team" if everybody else override.team, classes="muted")
                tag("span", f"{moment(override.starts_at)} – {moment(override.ends_at)}", classes="figure")
                if override.reason:
                    tag("span", override.reason, classes="muted")
                ending = button("End", lambda override=override: self._end(override), look="flat")
                set_attributes(ending.props("dense"), aria_label=f"End {override.engineer}'s override")

    async def _end(self, override: Override) -> None:
        actor = await self._parts.visitor.known()
        if actor is None:
            return
        try:
            await self._duty.end(override, actor=actor)
        except BackendError as error:
            say(f"Not ended: {error}", kind="negative")
        self._rota.forget()
        await self._refresh()


def _add_duty(timeline: DutyTimeline) -> None:
    if not timeline.items:
        return
    turn = timeline.items[0]
    with tag("div", classes="duty", data_team=timeline.team):
        tag("span", timeline.team, classes="team muted")
        tag("strong", turn.engineer)
        style = "status-in_progress" if turn.source == "override" else "plain"
        tag("span", _SOURCES[turn.source], classes=f"status {style}")
        if len(timeline.items) > 1:
            with tag("span", classes="muted until"):
                tag("span", "for ")
                countdown(turn.until)


def _add_handoffs(rota: Rota) -> None:
    handoffs = rota.handoffs()[:HANDOFFS_SHOWN]
    if not handoffs:
        tag("p", "Nobody hands over within two weeks.", classes="muted")
    for handoff in handoffs:
        with tag("div", classes="duty"):
            tag("span", moment(handoff.at), classes="figure")
            with tag("span", classes="muted"):
                tag("span", "in ")
                countdown(handoff.at)
            with tag("span"):
                tag("span", "to ", classes="muted")
                tag("strong", handoff.engineer)
            everybody = len(handoff.teams) == len(rota.timelines)
            tag("span", "every team" if everybody else ", ".join(handoff.teams), classes="muted")
