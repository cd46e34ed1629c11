"""The exam: runs of scenarios against a clock. The examiner's routes and each candidate's."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from pydantic import JsonValue

from services.common.app import ServiceParts, create_service
from services.common.database import Database
from services.common.errors import responses
from services.common.fields import Limit, Offset
from services.common.poller import Poller
from services.exam.candidate import Desk
from services.exam.office import Office
from services.exam.schemas import (
    Acknowledgement,
    Brief,
    CreatedRun,
    Extension,
    Hint,
    HintOffer,
    NewRun,
    Receipt,
    Run,
    RunPage,
    SubmissionIn,
    SubmissionList,
    SubmissionReceipt,
    TimeLeft,
    Timeline,
    Update,
)
from services.exam.settings import ExamSettings
from services.exam.store import Runs
from services.exam.tokens import CandidateGate, examiner_gate
from services.exam.wiring import Parts, wire

NAME = "exam"
SCHEMA = "exam"
ROUNDS_A_RECORD = 10
"""Rounds of the prober from one time to the next that what Prometheus says of a run is kept."""
_GUARDED = responses(403, 409, 429)


def examiner_routes(settings: ExamSettings) -> APIRouter:
    """What only the examiner may do and see."""
    router = APIRouter(
        prefix="/api/v1/runs",
        dependencies=[Depends(examiner_gate(settings.examiner_token))],
        responses=_GUARDED,
        tags=["examiner"],
        include_in_schema=not settings.lab_blind,
    )

    @router.post("", status_code=201)
    def create_run(new: NewRun, request: Request) -> CreatedRun:
        """A new run, not started yet. Its candidate's token is in this answer alone."""
        return _office(request).create(new)

    @router.get("")
    def read_runs(request: Request, limit: Limit = 50, offset: Offset = 0) -> RunPage:
        """Runs, newest first, a page at a time."""
        return _office(request).page(limit=limit, offset=offset)

    @router.get("/{run_id}", responses=responses(404))
    def read_run(run_id: UUID, request: Request) -> Run:
        """How a run stands."""
        return _office(request).run(run_id)

    @router.post("/{run_id}/start", responses=responses(404))
    def start_run(run_id: UUID, request: Request) -> Run:
        """Give the lab to this run; its clock begins when the lab is as it should be."""
        return _office(request).start(run_id)

    @router.post("/{run_id}/pause", responses=responses(404))
    def pause_run(run_id: UUID, request: Request) -> Run:
        """Stop the clock; what is broken stays broken."""
        return _office(request).pause(run_id)

    @router.post("/{run_id}/resume", responses=responses(404))
    def resume_run(run_id: UUID, request: Request) -> Run:
        """Let the clock go on."""
        return _office(request).resume(run_id)

    @router.post("/{run_id}/extend", responses=responses(404))
    def extend_run(run_id: UUID, extension: Extension, request: Request) -> Run:
        """Give more time."""
        return _office(request).extend(run_id, minutes=extension.minutes)

    @router.post("/{run_id}/abort", responses=responses(404))
    def abort_run(run_id: UUID, request: Request) -> Run:
        """End a run without a grade, and put back what it broke."""
        return _office(request).abort(run_id)

    @router.post("/{run_id}/grade", responses=responses(404))
    def grade_run(run_id: UUID, request: Request) -> JsonValue:
        """Grade a finished run's journal again; the score, and the report anew."""
        return _office(request).regrade(run_id)

    @router.get("/{run_id}/timeline", responses=responses(404))
    def read_timeline(run_id: UUID, request: Request) -> Timeline:
        """Everything that has happened so far, in the order of time."""
        return _office(request).timeline(run_id)

    @router.get("/{run_id}/journal", responses=responses(404))
    def read_journal(run_id: UUID, request: Request) -> JsonValue:
        """What the score is made of, complete."""
        return _office(request).journal(run_id)

    @router.get("/{run_id}/report.json", responses=responses(404))
    def read_report_json(run_id: UUID, request: Request) -> JsonValue:
        """The report for programs."""
        return _office(request).report_json(run_id)

    @router.get("/{run_id}/report.html", response_class=Response, responses=responses(404))
    def read_report(run_id: UUID, request: Request) -> Response:
        """The report for people: one file."""
        return Response(_office(request).report_html(run_id), media_type="text/html")

    return router


def candidate_routes(gate: CandidateGate) -> APIRouter:
    """What a candidate may do: with the token of their run, and only in that run."""
    router = APIRouter(prefix="/api/v1/my", responses=_GUARDED, tags=["candidate"])
    my_run = Depends(gate)

    @router.get("/brief")
    def read_brief(request: Request, run_id: UUID = my_run) -> Brief:
        """The task, the time, where everything is, and what counts."""
        return _desk(request).brief(run_id)

    @router.get("/time")
    def read_time(request: Request, run_id: UUID = my_run) -> TimeLeft:
        """How much time is left."""
        return _desk(request).time(run_id)

    @router.post("/acknowledge")
    def acknowledge(request: Request, which: Acknowledgement | None = None, run_id: UUID = my_run) -> Receipt:
        """Acknowledge the page."""
        return _desk(request).acknowledge(run_id, which or Acknowledgement())

    @router.get("/hints")
    def read_hints(request: Request, run_id: UUID = my_run) -> HintOffer:
        """The hints that were taken, and what the next ones cost."""
        return _desk(request).hints(run_id)

    @router.post("/hints", status_code=201)
    def take_hint(request: Request, run_id: UUID = my_run) -> Hint:
        """Buy the next hint."""
        return _desk(request).take_hint(run_id)

    @router.post("/updates", status_code=201)
    def post_update(update: Update, request: Request, run_id: UUID = my_run) -> Receipt:
        """Post a status update."""
        return _desk(request).post_update(run_id, update)

    @router.post("/submissions", status_code=201)
    def submit(submission: SubmissionIn, request: Request, run_id: UUID = my_run) -> SubmissionReceipt:
        """Hand in a diagnosis and end the run; with ``draft`` it goes on, and the last one counts."""
        return _desk(request).submit(run_id, submission)

    @router.get("/submissions")
    def read_submissions(request: Request, run_id: UUID = my_run) -> SubmissionList:
        """What was handed in."""
        return _desk(request).submissions(run_id)

    return router


def _office(request: Request) -> Office:
    office: Office = request.app.state.office
    return office


def _desk(request: Request) -> Desk:
    desk: Desk = request.app.state.desk
    return desk


def create_app() -> FastAPI:
    """The app on Postgres, with the conductor and the prober beside the requests."""
    # It would log the URL of each request, which names the service and the mode.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    settings = _silent(ExamSettings())
    database = Database(settings.database_url, service=NAME, schema=SCHEMA)
    runs = Runs(database)
    parts = wire(settings, database, runs)
    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            running=(lambda: _conducting(parts, settings),),
        ),
        examiner_routes(settings),
        candidate_routes(CandidateGate(runs.of_token)),
    )
    app.state.office = parts.office
    app.state.desk = parts.desk
    return app


def _silent(settings: ExamSettings) -> ExamSettings:
    """The same settings without traces, signals and errors: candidates read those, and when what was
    broken would be in them."""
    nothing = {
        "sentry_dsn": "",
        "otel_exporter_otlp_endpoint": "",
        "otel_traces_exporter": "",
        "prodsentinel_url": "",
    }
    return settings.model_copy(update=nothing)


@asynccontextmanager
async def _conducting(parts: Parts, settings: ExamSettings) -> AsyncIterator[None]:
    async def step() -> None:
        await to_thread.run_sync(parts.conductor.step)

    async def record() -> None:
        await to_thread.run_sync(parts.compiler.record)

    conducting = Poller("exam.conductor", step, every_s=settings.exam_tick_s)
    probing = Poller("exam.prober", parts.prober.round, every_s=settings.exam_probe_every_s)
    recording = Poller("exam.recorder", record, every_s=ROUNDS_A_RECORD * settings.exam_probe_every_s)
    try:
        async with conducting.running(), probing.running(), recording.running():
            yield
    finally:
        parts.close()
