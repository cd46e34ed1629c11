"""The exam's API, as the commands call it."""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from embedded.environment import EXAMINER_TOKEN_FILE, Settings, settings, user_environment
from embedded.errors import IS_THE_LAB_UP, LabError
from embedded.postgres import write_private
from lab.tools.seat import CANDIDATE_FILE, left_by_start
from services.common.catalog import EXAM

TIMEOUT_S = 60.0
AWAY_AT_MOST_S = 60.0
"""For so long a restart of the exam, or of its database, is waited for."""
RETRY_S = 1.0
OVER = ("graded", "aborted")
"""The states of a run that is over."""


class ExamAway(LabError):
    """The exam cannot be reached, or cannot answer at the moment."""


class ExamClient:
    """One side's client. Whatever does not work is a ``LabError`` with a line for a person."""

    def __init__(self, lab: Settings, *, url: str, token: str) -> None:
        self._lab = lab
        self.url = url.rstrip("/")
        self._client = httpx.Client(
            base_url=f"{self.url}/api/v1",
            headers={"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        )

    def close(self) -> None:
        """Give its connections back."""
        self._client.close()

    def of_candidate(self, token: str) -> "ExamClient":
        """A client of the same exam with a candidate's token."""
        return ExamClient(self._lab, url=self.url, token=token)

    def get(self, path: str, **parameters: Any) -> Any:
        """The answer's JSON."""
        return self._ask("GET", path, params=parameters).json()

    def text(self, path: str) -> str:
        """The answer as it came."""
        return self._ask("GET", path).text

    def post(self, path: str, body: Any = None) -> Any:
        """The answer's JSON."""
        return self._ask("POST", path, json=body).json()

    def all_runs(self) -> list[dict[str, Any]]:
        """Every run, newest first."""
        found: list[dict[str, Any]] = []
        offset: int | None = 0
        while offset is not None:
            page = self.get("/runs", limit=200, offset=offset)
            found += page["items"]
            offset = page["next_offset"]
        return found

    def run(self, name: str | None) -> dict[str, Any]:
        """The run whose id begins so; the newest without one."""
        found = [run for run in self.all_runs() if run["id"].startswith(name or "")]
        if not found:
            raise LabError(f"there is no run {name}" if name else "there is no run yet: `lab exam start`")
        if name and len(found) > 1:
            raise LabError(f"{len(found)} runs begin with {name}: give more of the id")
        return found[0]

    def keep_for_candidate(self, run_id: str, token: str) -> Path:
        """Leave the candidate's token where the candidate's commands on this machine find it."""
        file = self._lab.directory / CANDIDATE_FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        write_private(file, json.dumps({"run": run_id, "token": token, "url": self.url}))
        return file

    def _ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = self._client.request(method, path, **request)
        except httpx.HTTPError as error:
            trouble = f"the exam does not answer at {self.url}: {error}"
            raise ExamAway(f"{trouble}. {IS_THE_LAB_UP}") from error
        if response.is_server_error:
            raise ExamAway(_explained(response))
        if response.is_error:
            raise LabError(_explained(response))
        return response


def get_patiently(
    client: ExamClient,
    path: str,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    """The answer's JSON, for whoever follows a run: the exam may be restarted in the middle of it.

    Raises ``ExamAway`` once it has been away for ``AWAY_AT_MOST_S``.
    """
    return _patiently(lambda: client.get(path), clock=clock, sleep=sleep)


def post_patiently(client: ExamClient, path: str) -> Any:
    """The same of what changes nothing when it is asked again, such as a grade."""
    return _patiently(lambda: client.post(path))


def _patiently(
    ask: Callable[[], Any],
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Any:
    ends_at_s = clock() + AWAY_AT_MOST_S
    while True:
        try:
            return ask()
        except ExamAway:
            if clock() > ends_at_s:
                raise
        sleep(RETRY_S)


def looks(
    client: ExamClient, run_id: str, *, every_s: float, tell: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """The run as it stands, again and again. ``tell`` is told why it does not go on, once for each reason."""
    said = None
    while True:
        run = get_patiently(client, f"/runs/{run_id}")
        trouble = run.get("trouble")
        if trouble and trouble != said:
            tell(f"waiting: {trouble}")
        said = trouble
        yield run
        time.sleep(every_s)


def holder_of_the_lab(client: ExamClient) -> dict[str, Any] | None:
    """The run that has the lab now, if one has."""
    found = _patiently(client.all_runs)
    return next((run for run in found if run["state"] not in ("created", *OVER)), None)


@contextmanager
def aborted_if_left(client: ExamClient, run_id: str) -> Iterator[None]:
    """Whatever ends this early (Ctrl-C, an error) aborts the run, and goes on as what it was."""
    try:
        yield
    except BaseException:
        try:
            abort_unless_over(client, run_id)
        except LabError as error:
            # It must not take the place of a Ctrl-C, which whoever catches errors would then not notice.
            print(f"run {run_id} is not aborted: {error}", file=sys.stderr)
        raise


def abort_unless_over(client: ExamClient, run_id: str) -> None:
    """End a run whose follower goes; one that is being graded ends by itself."""
    if client.get(f"/runs/{run_id}")["state"] not in (*OVER, "grading"):
        client.post(f"/runs/{run_id}/abort")


def examiner() -> ExamClient:
    """The examiner's client."""
    user = user_environment()
    lab = settings(user)
    file = lab.directory / EXAMINER_TOKEN_FILE
    token = user.get("EXAMINER_TOKEN") or (file.read_text() if file.exists() else "")
    if not token:
        raise LabError(
            f"there is no examiner's token: set EXAMINER_TOKEN, or start the lab that makes {file}"
        )
    return ExamClient(lab, url=user.get("EXAM_URL") or lab.url(EXAM), token=token)


def candidate() -> ExamClient:
    """The candidate's client: of ``FIREDRILL_TOKEN``, or of the run that was started last on this machine."""
    user = user_environment()
    lab = settings(user)
    token = user.get("FIREDRILL_TOKEN")
    # With a token of their own the candidate may be somebody who must not read the examiner's files.
    left = None if token else left_by_start(lab.directory, run=user.get("FIREDRILL_RUN") or "")
    if left is not None:
        return ExamClient(lab, url=user.get("EXAM_URL") or left.exam_url or lab.url(EXAM), token=left.token)
    if not token:
        raise LabError("no run is known: set FIREDRILL_RUN and FIREDRILL_TOKEN as the examiner gave them")
    return ExamClient(lab, url=user.get("EXAM_URL") or lab.url(EXAM), token=token)


def read_diagnosis(file: Path) -> Any:
    """The content of a diagnosis.yaml; whether it says what it may say is the exam's to check."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise LabError(f"{file}{line}: {error.problem}") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{file}: a mapping is needed, such as `component: gateway`")
    try:
        # YAML takes an unquoted time for a time, which JSON has not: it goes as text.
        return json.loads(json.dumps(content, default=str, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LabError(f"{file} holds what no diagnosis can: {error}") from error


def _explained(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text[:300]
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(one['loc'][1:])}: {one['msg']}" for one in detail)
    return f"{response.status_code}: {detail}"
