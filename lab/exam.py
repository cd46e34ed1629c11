"""``lab exam``: a run from both sides. The examiner steers it; the candidate is told, asks and answers.

A thin client of the exam's API. The examiner's token is ``EXAMINER_TOKEN`` or the
file ``examiner.token`` in ``LAB_DIR``; the candidate's is ``FIREDRILL_TOKEN`` or in
``candidate.json`` there, which ``lab exam start`` writes.
"""

import json
import secrets
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lab.exam_client import ExamClient

app = typer.Typer(help="Run an exam: start and watch it, or sit it.", no_args_is_help=True)

POLL_S = 0.5
RANDOM = "random"
RunArgument = Annotated[
    str | None, typer.Argument(help="The run's id, or its beginning; the newest if left out.")
]
RunsArgument = Annotated[list[str], typer.Argument(help="Ids of graded runs, or their beginnings.")]


@app.command()
def start(
    scenario: Annotated[str, typer.Argument(help="A scenario's name, or random: drawn by the seed.")],
    candidate: Annotated[str, typer.Option(help="Who sits the exam.")],
    minutes: Annotated[float, typer.Option(min=0.1, help="How much time there is.")] = 45,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="The same seed, the same incident; 1 if left out, and drawn for random."),
    ] = None,
    soak: Annotated[float | None, typer.Option(min=0, help="Healthy seconds before the fault.")] = None,
    open_run: Annotated[bool, typer.Option("--open", help="The lab need not be blind.")] = False,
) -> None:
    """Create a run, start it, and wait until its clock goes. Prints the candidate's token, once."""
    from lab.exam_client import examiner

    client = examiner()
    is_sealed = scenario == RANDOM and seed is None
    if seed is None:
        seed = secrets.randbelow(2**31) if is_sealed else 1
    wanted = {
        "scenario": scenario,
        "candidate": candidate,
        "minutes": minutes,
        "seed": seed,
        "open": open_run,
    }
    run = client.post("/runs", {**wanted, **({} if soak is None else {"soak_s": soak})})
    try:
        client.post(f"/runs/{run['id']}/start")
    except Exception:
        client.post(f"/runs/{run['id']}/abort")
        raise
    # The token is told this once: it must not be lost with who waits for the start.
    kept = client.keep_for_candidate(run["id"], run["token"])
    _wait_for_start(client, run["id"])
    # What random drew stays sealed: who starts a run may be the one who sits it.
    told = "seed sealed until the report" if is_sealed else f"seed {seed}"
    typer.echo(f"run        {run['id']}  (scenario {scenario}, {told})")
    typer.echo(f"candidate  {candidate}: {minutes:g} minutes from now")
    typer.echo(f"token      {run['token']}")
    typer.echo(f"on this machine the candidate needs no token: `lab exam brief` ({kept})")
    typer.echo(f"elsewhere  FIREDRILL_RUN={run['id']} FIREDRILL_TOKEN=<token> LAB_BIND=<the lab's address>")


@app.command(name="list")
def list_runs() -> None:
    """Every run, newest first."""
    from lab.exam_client import examiner

    for run in examiner().all_runs():
        points = "" if run["points"] is None else f"{run['points']:g}"
        typer.echo(
            f"{run['id']}  {run['state']:<8} {_local(run['created_at'])}  {run['scenario']:<20}"
            f" seed {run['seed']:<6} {run['candidate']:<16} {points:>5}"
        )


@app.command()
def status(run: RunArgument = None) -> None:
    """How a run stands, and why it does not go on if it does not."""
    from lab.exam_client import examiner

    client = examiner()
    _show(client.run(run))


@app.command()
def pause(run: RunArgument = None) -> None:
    """Stop the clock; what is broken stays broken."""
    _steer(run, "pause")


@app.command()
def resume(run: RunArgument = None) -> None:
    """Let the clock go on."""
    _steer(run, "resume")


@app.command()
def extend(
    minutes: Annotated[float, typer.Argument(min=0.1, help="So many more.")], run: RunArgument = None
) -> None:
    """Give more time."""
    _steer(run, "extend", {"minutes": minutes})


@app.command()
def abort(run: RunArgument = None) -> None:
    """End a run without a grade, and put back what it broke."""
    _steer(run, "abort")


@app.command()
def watch(run: RunArgument = None) -> None:
    """Follow a run's timeline until it is graded; the examiner's view, with everything in it."""
    from lab.exam_client import examiner

    client = examiner()
    chosen = client.run(run)
    injected_at = chosen["injected_at"]
    for event in _followed(client, chosen["id"]):
        if event["kind"] == "fault.injected":
            injected_at = injected_at or event["at"]
        _tell(event, since=injected_at or _began_at(chosen))
    _show(client.run(chosen["id"]))


@app.command()
def timeline(run: RunArgument = None) -> None:
    """What has happened in a run so far."""
    from lab.exam_client import examiner

    client = examiner()
    chosen = client.run(run)
    for event in client.get(f"/runs/{chosen['id']}/timeline")["events"]:
        _tell(event, since=_began_at(chosen))


@app.command()
def export(
    run: RunArgument = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Standard output if left out.")
    ] = None,
) -> None:
    """The journal of a run as JSON: everything that its score is made of."""
    from lab.exam_client import examiner

    client = examiner()
    journal = json.dumps(client.get(f"/runs/{client.run(run)['id']}/journal"), indent=1)
    if output is None:
        typer.echo(journal)
        return
    output.write_text(journal, encoding="utf-8")
    typer.echo(f"wrote {output}")


@app.command()
def report(
    run: RunArgument = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where to; .json or .html.")] = None,
) -> None:
    """Fetch a graded run's report, as one HTML file (or JSON, by the name that you give it)."""
    from embedded.errors import LabError
    from lab.exam_client import examiner

    if output and output.suffix not in (".json", ".html"):
        raise LabError(f"{output}: a report is .html or .json")
    client = examiner()
    chosen = client.run(run)
    file = output or Path(f"{chosen['id']}.html")
    file.write_text(client.text(f"/runs/{chosen['id']}/report{file.suffix}"), encoding="utf-8")
    typer.echo(f"wrote {file}")


@app.command()
def regrade(run: RunArgument = None) -> None:
    """Grade a run's journal again, and write its report anew."""
    from lab.exam_client import examiner

    client = examiner()
    score = client.post(f"/runs/{client.run(run)['id']}/grade")
    for criterion in score["criteria"]:
        typer.echo(f"{criterion['points']:>6g} of {criterion['of']:<4g} {criterion['title']}")
    typer.echo(f"{score['points']:>6g} of {score['of']:<4g} in all")


@app.command()
def compare(
    runs: RunsArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also as an HTML file.")] = None,
) -> None:
    """Put graded runs side by side."""
    from lab.exam_client import examiner
    from lab.exam_compare import compare_runs

    client = examiner()
    reports = [client.get(f"/runs/{client.run(one)['id']}/report.json") for one in runs]
    compare_runs(reports, output=output)


@app.command()
def snapshot(
    to: Annotated[Path, typer.Option(help="The folder to write into.")] = Path("exam/candidate/metrics"),
) -> None:
    """Write how the shop is now (error rates, latencies, calls) as text files for the candidate's pack."""
    from embedded.environment import settings, user_environment
    from lab.snapshot import take
    from services.common.catalog import PROMETHEUS

    user = user_environment()
    for file in take(user.get("PROMETHEUS_URL") or settings(user).url(PROMETHEUS.name), to):
        typer.echo(f"wrote {file}")


# The candidate's side


@app.command()
def brief() -> None:
    """The task, the time, where everything is, and what counts."""
    from lab.exam_client import candidate
    from lab.exam_words import brief_lines

    for line in brief_lines(candidate().get("/my/brief")):
        typer.echo(line)


@app.command(name="time")
def time_left() -> None:
    """How much time is left."""
    from lab.exam_client import candidate

    clock = candidate().get("/my/time")
    paused = ", paused" if clock["is_paused"] else ""
    typer.echo(f"{_duration(clock['left_s'])} left of the run ({clock['state']}{paused})")


@app.command()
def ack(
    incident: Annotated[
        str | None, typer.Argument(help="The incident's id; simply the page if left out.")
    ] = None,
) -> None:
    """Acknowledge the page."""
    from lab.exam_client import candidate

    receipt = candidate().post("/my/acknowledge", {"incident_id": incident})
    typer.echo(f"acknowledged at {_local(receipt['at'])}")


@app.command()
def hint(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Buy the next hint; shows those that were taken."""
    from lab.exam_client import candidate

    client = candidate()
    offer = client.get("/my/hints")
    for one in offer["taken"]:
        typer.echo(f"hint {one['number']} (-{one['price']}): {one['text']}")
    if not offer["left"]:
        typer.echo("there are no more hints")
        return
    if yes or typer.confirm(f"Buy the next hint for {offer['prices'][0]} points?"):
        bought = client.post("/my/hints")
        typer.echo(f"hint {bought['number']} (-{bought['price']}): {bought['text']}")


@app.command()
def update(
    text: Annotated[str, typer.Argument(help="What is known, whom it hits, when you say more.")],
) -> None:
    """Post a status update."""
    from lab.exam_client import candidate

    typer.echo(f"posted at {_local(candidate().post('/my/updates', {'text': text})['at'])}")


@app.command()
def submit(
    file: Annotated[Path, typer.Argument(help="diagnosis.yaml", exists=True, dir_okay=False)],
    draft: Annotated[bool, typer.Option("--draft", help="Do not end the run with this.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, also on a terminal.")] = False,
) -> None:
    """Hand in a diagnosis, which ends the run; a --draft may be replaced until time is up."""
    from lab.exam_client import candidate, read_diagnosis

    client, diagnosis = candidate(), read_diagnosis(file)
    if not draft and not yes and sys.stdin.isatty():
        typer.confirm("This ends your exam (--draft does not). Hand it in?", abort=True)
    made = client.post("/my/submissions", {"diagnosis": diagnosis, "draft": draft})
    said = "it counts when time is up" if draft else "the run is over, and is graded now"
    typer.echo(f"diagnosis {made['number']} is handed in: {said}")


def _wait_for_start(client: "ExamClient", run_id: str) -> None:
    """Say what the run waits for, until its clock goes. Raises ``LabError`` if it is aborted meanwhile."""
    from embedded.errors import LabError
    from lab.exam_client import get_patiently

    said = None
    typer.echo("the lab is put back to its baseline and checked ...", err=True)
    while (run := get_patiently(client, f"/runs/{run_id}"))["state"] == "waiting":
        if run["trouble"] and run["trouble"] != said:
            said = run["trouble"]
            typer.echo(f"waiting: {said}", err=True)
        time.sleep(POLL_S)
    if run["ended_by"] == "aborted":
        raise LabError(f"run {run_id} was aborted before its clock began")


def _steer(run: str | None, verb: str, body: dict[str, Any] | None = None) -> None:
    from lab.exam_client import examiner

    client = examiner()
    _show(client.post(f"/runs/{client.run(run)['id']}/{verb}", body))


def _followed(client: "ExamClient", run_id: str) -> Iterator[dict[str, Any]]:
    """Events as they come, each once, until the run is over. Some become known late: they come late."""
    from lab.exam_client import get_patiently

    seen: set[str] = set()
    while True:
        timeline = get_patiently(client, f"/runs/{run_id}/timeline")
        for event in timeline["events"]:
            key = json.dumps(event, sort_keys=True)
            if key not in seen:
                seen.add(key)
                yield event
        if timeline["state"] in ("graded", "aborted"):
            return
        time.sleep(4 * POLL_S)


def _began_at(run: dict[str, Any]) -> str:
    """Where the timeline's zero is: the injection, if it has come."""
    return str(run["injected_at"] or run["started_at"] or run["created_at"])


def _tell(event: dict[str, Any], *, since: str) -> None:
    said = " ".join(f"{k}={_short(v)}" for k, v in event["detail"].items() if v not in (None, ""))
    typer.echo(f"{_since(since, event['at']):>9}  {event['kind']:<22} {event['actor']:<22} {said}")


def _show(run: dict[str, Any]) -> None:
    paused = " (paused)" if run["paused_at"] else ""
    typer.echo(f"run        {run['id']}")
    typer.echo(f"state      {run['state']}{paused}")
    typer.echo(f"scenario   {run['scenario']}, seed {run['seed']}, {'blind' if run['blind'] else 'open'}")
    typer.echo(f"candidate  {run['candidate']}")
    typer.echo(
        f"time       {_duration(run['elapsed_s'])} of {run['minutes']:g} min, {_duration(run['left_s'])} left"
    )
    if run["injected_at"]:
        typer.echo(f"injected   {_local(run['injected_at'])}")
    if run["ended_at"]:
        typer.echo(f"ended      {_local(run['ended_at'])}, {run['ended_by']}")
    if run["points"] is not None:
        typer.echo(f"points     {run['points']:g}")
    if run["trouble"]:
        typer.echo(f"waits for  {run['trouble']}")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def _since(began_at: str, at: str) -> str:
    seconds = (datetime.fromisoformat(at) - datetime.fromisoformat(began_at)).total_seconds()
    return f"{'-' if seconds < 0 else '+'}{_duration(abs(seconds))}"


def _local(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _short(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
