"""The exam's API, as the commands call it."""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import yaml

from embedded.environment import EXAMINER_TOKEN_FILE, Settings, settings, user_environment
from embedded.errors import LabError
from embedded.postgres import write_private
from services.common.catalog import EXAM

CANDIDATE_FILE = "candidate.json"
TIMEOUT_S = 60.0


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
            raise LabError(f"the exam does not answer at {self.url}: {error}. Is the lab up?") from error
        if response.is_error:
            raise LabError(_explained(response))
        return response


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
    file = lab.directory / CANDIDATE_FILE
    kept: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
    token = os.environ.get("FIREDRILL_TOKEN") or kept.get("token")
    if not token:
        raise LabError(f"there is no candidate's token: set FIREDRILL_TOKEN ({file} is not there either)")
    return ExamClient(lab, url=user.get("EXAM_URL") or kept.get("url") or lab.url(EXAM), token=token)


def read_diagnosis(file: Path) -> Any:
    """The content of a diagnosis.yaml; whether it says what it may say is the exam's to check."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LabError(f"{file} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{file}: a mapping is needed, such as `component: gateway`")
    return content


def _explained(response: httpx.Response) -> str:
    try:
        detail = response.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = response.text[:300]
    if isinstance(detail, list):
        detail = "; ".join(f"{'.'.join(one['loc'][1:])}: {one['msg']}" for one in detail)
    return f"{response.status_code}: {detail}"
