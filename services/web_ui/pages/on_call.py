"""The page On call: who is on now, the next hand-offs, and who stands in."""

from collections.abc import Callable
from datetime import datetime, timedelta

from nicegui import ui

from services.web_ui.actions import say, say_failed
from services.web_ui.backends import BackendError
from services.web_ui.duty import EVERY_TEAM, TEAMS, Duty, Handoff, Rota
from services.web_ui.parts import (
    Placeholder,
    button,
    count_down_to,
    countdown,
    section,
    set_attributes,
    tag,
)
from services.web_ui.readings import Latest
from services.web_ui.rows import Rows
from services.web_ui.schemas import DutyTimeline, Override
from services.web_ui.text import moment
from services.web_ui.theme import LINE, Frame, frame

REFRESH_S = 5.0
HANDOFFS_SHOWN = 8
_AWAY = (
    "cloud_off",
    "Who is on call cannot be read.",
    "Pages already on their way are still delivered; this page fills itself when it is back.",
)
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
        with tag("div", classes="columns") as self._columns:
            with tag("div"):
                with section("On call now"):
                    self._placeholder = Placeholder("Loading…", unknown=_AWAY, away=_AWAY)
                    self._now = Rows(tag("div"), key=lambda timeline: timeline.team, make=_DutyRow)
                with section("Next hand-offs"):
                    self._no_handoffs = tag("p", "Nobody hands over within two weeks.", classes="muted")
                    self._handoffs = Rows(tag("div"), key=lambda handoff: handoff, make=_HandoffRow)
            with tag("div"):
                with section("Overrides"):
                    self._no_overrides = tag(
                        "p",
                        "Nobody stands in for anybody. Below, somebody can be put on call.",
                        classes="muted",
                    )
                    self._overrides = Rows(tag("div"), key=lambda override: override.id, make=self._row_of)
                with section("Stand in"):
                    self._add_form()
        for none in (self._no_handoffs, self._no_overrides):
            none.set_visibility(False)
        ui.timer(REFRESH_S, self._refresh)

    def _row_of(self, override: Override) -> "_OverrideRow":
        async def end() -> None:
            # Outside the row: it may go before all is asked and said, and would take that along.
            with self._columns:
                await self._end(override)

        return _OverrideRow(override, end=end)

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
            say_failed(error, "put on call", what=engineer)
        else:
            say(f"{made.engineer} is on call until {moment(made.ends_at)}", kind="positive")
        self._rota.forget()
        await self._refresh()

    async def _end(self, override: Override) -> None:
        actor = await self._parts.visitor.known()
        if actor is None:
            return
        try:
            await self._duty.end(override, actor=actor)
        except BackendError as error:
            say_failed(error, "ended")
        self._rota.forget()
        await self._refresh()

    async def _refresh(self) -> None:
        reading = await self._rota.get()
        self._parts.problems.show([reading])
        self._placeholder.show(reading)
        rota = reading.value
        handoffs = rota.handoffs()[:HANDOFFS_SHOWN] if rota else []
        overrides = sorted(rota.overrides, key=lambda override: override.starts_at) if rota else []
        self._now.show([timeline for timeline in rota.timelines if timeline.items] if rota else [])
        self._handoffs.show(handoffs)
        self._overrides.show(overrides)
        self._no_handoffs.set_visibility(rota is not None and not handoffs)
        self._no_overrides.set_visibility(rota is not None and not overrides)


class _DutyRow:
    """Who is on call for one team."""

    def __init__(self, timeline: DutyTimeline) -> None:
        with tag("div", classes="duty", data_team=timeline.team) as self.element:
            tag("span", timeline.team, classes="team muted")
            self._engineer = tag("strong")
            self._source = tag("span")
            with tag("span", classes="muted until") as self._until:
                tag("span", "for ")
                self._left = tag("span", classes="figure")
        self._shown: tuple[str, str, datetime | None] | None = None

    def show(self, timeline: DutyTimeline) -> None:
        """Say whose turn it is, and when it ends if that lies within what was read."""
        turn = timeline.items[0]
        until = turn.until if len(timeline.items) > 1 else None
        # Not the whole turn: it begins and ends anew with each reading's own bounds.
        if (turn.engineer, turn.source, until) == self._shown:
            return
        self._shown = (turn.engineer, turn.source, until)
        self._engineer.set_text(turn.engineer)
        self._source.set_text(_SOURCES[turn.source])
        style = "status-in_progress" if turn.source == "override" else "plain"
        self._source.classes(replace=f"status {style}")
        self._until.set_visibility(until is not None)
        if until is not None:
            count_down_to(self._left, until)


class _HandoffRow:
    """One hand-off to come."""

    def __init__(self, handoff: Handoff) -> None:
        with tag("div", classes="handoff") as self.element:
            tag("span", moment(handoff.at), classes="figure")
            with tag("span", classes="muted in"):
                tag("span", "in ")
                countdown(handoff.at)
            with tag("p", classes="whom"):
                with tag("span"):
                    tag("span", "to ", classes="muted")
                    tag("strong", handoff.engineer)
                everybody = len(handoff.teams) == len(TEAMS)
                tag("span", "every team" if everybody else ", ".join(handoff.teams), classes="muted")

    def show(self, handoff: Handoff) -> None:
        """Another one has another row."""


class _OverrideRow:
    """Somebody who stands in, and the button that ends it."""

    def __init__(self, override: Override, *, end: Callable[[], object]) -> None:
        with tag("div", classes="override") as self.element:
            with tag("div"):
                with tag("p", classes="whom"):
                    tag("strong", override.engineer)
                    everybody = override.team == EVERY_TEAM
                    tag("span", "every team" if everybody else override.team, classes="muted")
                with tag("p", classes="when"):
                    tag("span", f"{moment(override.starts_at)} –", classes="figure")
                    tag("span", moment(override.ends_at), classes="figure")
                if override.reason:
                    tag("p", override.reason, classes="muted")
            ending = button("End", end, look="flat").props("dense")
            set_attributes(ending, aria_label=f"End {override.engineer}'s override")

    def show(self, override: Override) -> None:
        """It does not change: it is ended, and another one made."""
