"""Whose exam a command asks about, what a restart of the exam does to it, and what a diagnosis may hold."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

import lab.exam_client
from embedded.environment import settings
from embedded.errors import LabError
from lab.exam_client import (
    AWAY_AT_MOST_S,
    ExamAway,
    ExamClient,
    abort_unless_over,
    candidate,
    get_patiently,
    read_diagnosis,
)
from lab.repeat import _played


def _is_told(monkeypatch: pytest.MonkeyPatch, directory: Path, **user: str) -> None:
    """What ``.env`` and the environment say."""
    told = {"LAB_DIR": str(directory), **user}
    monkeypatch.setattr(lab.exam_client, "user_environment", lambda: told)


def _token(client: ExamClient) -> str:
    return client._client.headers["authorization"].removeprefix("Bearer ")


def _client(directory: Path, answer: Callable[[httpx.Request], httpx.Response]) -> ExamClient:
    found = ExamClient(settings({"LAB_DIR": str(directory)}), url="http://exam.invalid", token="t")
    found._client = httpx.Client(base_url="http://exam.invalid", transport=httpx.MockTransport(answer))
    return found


def test_a_candidates_own_token_needs_no_file_of_the_examiner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the examiner's account may read that file; here nobody can.
    (tmp_path / "candidate.json").mkdir()
    monkeypatch.setenv("FIREDRILL_TOKEN", "cand-1")
    _is_told(monkeypatch, tmp_path, FIREDRILL_TOKEN="cand-1")

    assert _token(candidate()) == "cand-1"


def test_a_candidates_token_may_stand_in_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREDRILL_TOKEN", raising=False)
    _is_told(monkeypatch, tmp_path, FIREDRILL_TOKEN="cand-2")

    assert _token(candidate()) == "cand-2"


def test_the_token_that_was_left_is_for_its_own_run_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREDRILL_TOKEN", raising=False)
    left = {"run": "r1", "token": "cand-1", "url": "http://exam.example"}
    (tmp_path / "candidate.json").write_text(json.dumps(left))
    _is_told(monkeypatch, tmp_path)
    found = candidate()

    _is_told(monkeypatch, tmp_path, FIREDRILL_RUN="r2")
    with pytest.raises(LabError, match="no run is known: set FIREDRILL_RUN and FIREDRILL_TOKEN"):
        candidate()

    assert (_token(found), found.url) == ("cand-1", "http://exam.example")


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_what_is_left_and_cannot_be_read_is_a_line_for_a_person(
    content: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREDRILL_TOKEN", raising=False)
    (tmp_path / "candidate.json").write_text(content)
    _is_told(monkeypatch, tmp_path)

    with pytest.raises(LabError, match=r"candidate\.json cannot be read"):
        candidate()


def test_who_follows_a_run_waits_for_an_exam_that_restarts(tmp_path: Path) -> None:
    answers = iter((httpx.ConnectError("refused"), httpx.Response(503), httpx.Response(200, json={"id": 1})))

    def answer(_request: httpx.Request) -> httpx.Response:
        given = next(answers)
        if isinstance(given, httpx.Response):
            return given
        raise given

    found = get_patiently(_client(tmp_path, answer), "/runs/1", sleep=lambda _s: None)

    assert found == {"id": 1}


def test_an_exam_that_stays_away_is_given_up(tmp_path: Path) -> None:
    times = iter((0.0, 1.0, AWAY_AT_MOST_S + 1))

    with pytest.raises(ExamAway, match="503"):
        get_patiently(
            _client(tmp_path, lambda _request: httpx.Response(503, json={"detail": "starting"})),
            "/runs/1",
            clock=lambda: next(times),
            sleep=lambda _s: None,
        )


def test_what_the_exam_refuses_is_not_asked_again(tmp_path: Path) -> None:
    asked: list[str] = []

    def refuse(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        return httpx.Response(404, json={"detail": "no run"})

    with pytest.raises(LabError, match="404: no run"):
        get_patiently(_client(tmp_path, refuse), "/runs/1", sleep=lambda _s: None)

    assert asked == ["/runs/1"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("summary: 2026-11-21 14:05:00", {"summary": "2026-11-21 14:05:00"}),
        ("component:\naffected: []", {"component": None, "affected": []}),
    ],
)
def test_a_diagnosis_goes_as_json_whatever_yaml_makes_of_it(
    written: str, read: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "diagnosis.yaml"
    file.write_text(written)

    assert read_diagnosis(file) == read


@pytest.mark.parametrize("written", ["summary: .nan", "evidence: &a [*a]", "? [1, 2]\n: x"])
def test_what_no_diagnosis_can_hold_is_refused_with_the_file(written: str, tmp_path: Path) -> None:
    file = tmp_path / "diagnosis.yaml"
    file.write_text(written)

    with pytest.raises(LabError, match=r"diagnosis\.yaml"):
        read_diagnosis(file)


def test_a_mistake_in_a_diagnosis_is_one_line_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "diagnosis.yaml"
    file.write_text("component: dns\nruled_out: [a, b\n")

    with pytest.raises(LabError) as refused:
        read_diagnosis(file)

    assert str(refused.value) == f"{file}, line 3: expected ',' or ']', but got '<stream end>'"


def test_whoever_stops_repeating_leaves_no_run_behind(tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append((request.method, request.url.path))
        if asked.count(("GET", "/runs/r1")) == 1 and request.method == "GET":
            raise KeyboardInterrupt
        return httpx.Response(200, json={"id": "r1", "state": "running"})

    with pytest.raises(KeyboardInterrupt):
        _played(_client(tmp_path, answer), {"scenario": "payment-dns"})

    assert asked[-1] == ("POST", "/runs/r1/abort")


@pytest.mark.parametrize("state", ["grading", "graded", "aborted"])
def test_what_is_over_or_nearly_so_is_not_aborted(state: str, tmp_path: Path) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.method)
        return httpx.Response(200, json={"state": state})

    abort_unless_over(_client(tmp_path, answer), "r1")

    assert asked == ["GET"]
