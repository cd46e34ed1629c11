"""The exam as its candidate sees it: the brief, the clock, hints, status updates, the diagnosis."""

from uuid import UUID

from embedded.errors import LabError
from lab.tools.api import Api, Document
from lab.tools.seat import Seat
from services.exam.diagnosis import Diagnosis


class ExamDesk:
    """The candidate's own routes of the exam service. ``LabError`` where there is no token."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._api = Api(seat.url("exam") + "/api/v1/my", token=seat.token)

    def brief(self) -> Document:
        """The task, the minutes, the codes that a diagnosis may use, and what the score is made of."""
        return self._asked().get("/brief")

    def time_left(self) -> Document:
        """The run's clock: seconds elapsed and left."""
        return self._asked().get("/time")

    def acknowledge_page(self, incident_id: UUID | None = None) -> Document:
        """Acknowledge the page: that of one incident, or simply the page."""
        return self._asked().send("POST", "/acknowledge", {"incident_id": incident_id and str(incident_id)})

    def read_hints(self) -> Document:
        """The hints that were taken, and what each of the next ones costs in points."""
        return self._asked().get("/hints")

    def take_hint(self) -> Document:
        """Buy the next hint. Its price comes off the score."""
        return self._asked().send("POST", "/hints")

    def post_status_update(self, text: str) -> Document:
        """Post a status update, as one would for customers and colleagues."""
        return self._asked().send("POST", "/updates", {"text": text})

    def submit_diagnosis(self, diagnosis: Diagnosis, draft: bool = False) -> Document:
        """Hand in a diagnosis and end the run. With `draft` the run goes on, and the last one counts."""
        body = diagnosis.model_dump(mode="json", exclude_defaults=True)
        return self._asked().send("POST", "/submissions", {"diagnosis": body, "draft": draft})

    def read_submissions(self) -> Document:
        """What was handed in so far."""
        return self._asked().get("/submissions")

    def _asked(self) -> Api:
        if not self._seat.token:
            raise LabError("no run is known: set FIREDRILL_RUN and FIREDRILL_TOKEN as the examiner gave them")
        return self._api
