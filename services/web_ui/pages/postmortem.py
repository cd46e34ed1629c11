"""The postmortem of a resolved incident: written in a form, shown and handed out as Markdown."""

from uuid import UUID

from nicegui import ui

from services.web_ui.actions import say, say_failed
from services.web_ui.backends import BackendError
from services.web_ui.incidents import Incidents
from services.web_ui.parts import button, section, set_attributes, tag
from services.web_ui.schemas import IncidentDetail
from services.web_ui.theme import LINE, Visitor

PROSE_LIMIT = 4000
_FIELDS = {
    "summary": "Summary",
    "impact": "Impact",
    "root_cause": "Root cause",
    "lessons": "Lessons",
    "action_items": "Action items, one a line",
}


class PostmortemSection:
    """A box on the incident's page, there as soon as the incident is resolved."""

    def __init__(self, incidents: Incidents, incident_id: UUID, visitor: Visitor) -> None:
        self._incidents = incidents
        self._id = incident_id
        self._visitor = visitor
        self._written: dict[str, str] = {}
        self._markdown = ""
        with section("Postmortem", classes="postmortem") as self._box:
            self._none = tag("p", "Nobody has written it yet; its timeline fills itself in.", classes="muted")
            self._text = tag("pre", classes="markdown")
            with tag("div", classes="note-actions"):
                self._download = button("Download", self._hand_out, look="flat", symbol="download").props(
                    "dense"
                )
                self._writer = button("Write postmortem", self._write, look="outline").props("dense")
        self._box.set_visibility(False)
        self._times_written = 0

    async def show(self, incident: IncidentDetail) -> None:
        """Show the postmortem if there is one; nothing before the incident is resolved."""
        self._box.set_visibility(incident.status == "resolved")
        times_written = sum(entry.what == "postmortem" for entry in incident.timeline)
        if times_written != self._times_written and await self._read():
            self._times_written = times_written
        self._none.set_visibility(not incident.has_postmortem)
        self._text.set_visibility(incident.has_postmortem)
        self._download.set_visibility(bool(self._markdown))
        self._writer.set_text("Write it anew" if incident.has_postmortem else "Write postmortem")

    async def _read(self) -> bool:
        try:
            self._show_text(await self._incidents.postmortem(self._id))
        except BackendError as error:
            self._text.set_text(f"It cannot be read: {error}")
            return False
        return True

    def _show_text(self, markdown: str) -> None:
        self._markdown = markdown
        self._text.set_text(markdown)

    def _hand_out(self) -> None:
        ui.download.content(self._markdown, f"postmortem-{self._id}.md", "text/markdown")

    async def _write(self) -> None:
        actor = await self._visitor.known()
        if actor is None:
            return
        written = await _ask(self._written, is_again=bool(self._markdown))
        if written is None:
            return
        self._written = written
        try:
            made = await self._incidents.write_postmortem(
                self._id,
                actor=actor,
                summary=written["summary"],
                impact=written["impact"],
                root_cause=written["root_cause"],
                lessons=written["lessons"],
                action_items=[line.strip() for line in written["action_items"].splitlines() if line.strip()],
            )
        except BackendError as error:
            say_failed(error, "saved")
            return
        self._show_text(made.markdown)
        say("The postmortem is saved.", kind="positive")


async def _ask(written: dict[str, str], *, is_again: bool) -> dict[str, str] | None:
    """Ask for the sections in a dialog; ``None`` if it was left."""
    with ui.dialog().props("persistent") as dialog, ui.card().classes("dialog wide"):
        tag("h2", "Postmortem")
        if is_again:
            tag("p", "This takes the place of the one before.", classes="muted")
        fields = {name: _field(name, label, written.get(name, "")) for name, label in _FIELDS.items()}

        def submit() -> None:
            checked = [field.validate() for field in fields.values()]
            if all(checked):
                dialog.submit({name: (field.value or "").strip() for name, field in fields.items()})

        with tag("div", classes="dialog-actions"):
            button("Cancel", lambda: dialog.submit(None), look="flat")
            button("Save", submit)
    answer: dict[str, str] | None = await dialog
    dialog.delete()
    return answer


def _field(name: str, label: str, value: str) -> ui.textarea:
    rules = {
        "summary": {"say in a sentence or two what happened": lambda text: bool((text or "").strip())},
        "action_items": {
            "at most 50 lines of at most 200 characters": lambda text: _are_lines(text or ""),
        },
    }
    field = ui.textarea(label, value=value, validation=rules.get(name)).classes("full-width")
    field.props(f"outlined dense autogrow rows=2 maxlength={PROSE_LIMIT}")
    field.without_auto_validation()
    set_attributes(field, name=name)
    return field


def _are_lines(text: str) -> bool:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return len(lines) <= 50 and all(LINE.fullmatch(line) for line in lines)
