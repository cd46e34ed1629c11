"""What a candidate types, and who may use the tools over HTTP."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import JsonValue
from starlette.responses import PlainTextResponse
from starlette.types import Message, Scope

from embedded import state
from embedded.claim import Identity
from embedded.environment import settings
from embedded.errors import LabError
from embedded.supervision import Standing
from lab.psql import libpq_variables
from lab.tools.bounds import MOST_CHARACTERS, fitted, written
from lab.tools.metrics import moment
from lab.tools.seat import candidate_database_url, seat
from lab.tools.server import TokenAsked, serve_on_http
from lab.tools.shown import setting_changes

NOW = datetime(2026, 1, 13, 9, 0, tzinfo=UTC)


def status(headers: list[tuple[bytes, bytes]]) -> int:
    """How a request with these headers is answered where ``right`` is the token."""
    scope: Scope = {"type": "http", "method": "POST", "path": "/mcp", "headers": headers}
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    asyncio.run(TokenAsked(PlainTextResponse("through"), "right")(scope, receive, send))
    return int(sent[0]["status"])


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("name=backup", "backup"),
        ("name=12", 12),
        ("name=true", True),
        ("name=null", None),
        ('name="12"', "12"),
        ('name=["424242"]', ["424242"]),
        ("name=a=b", "a=b"),
        ("name=", ""),
        ("name=NaN", "NaN"),
        ("name=1e999", "1e999"),
    ],
)
def test_a_setting_is_typed_as_json_or_as_a_plain_word(written: str, value: object) -> None:
    assert setting_changes([written]) == {"name": value}


@pytest.mark.parametrize("written", ["name", "=value"])
def test_a_setting_without_name_or_value_is_refused(written: str) -> None:
    with pytest.raises(LabError, match="NAME=VALUE"):
        setting_changes([written])


@pytest.mark.parametrize(
    ("written", "time"),
    [
        ("15m", datetime(2026, 1, 13, 8, 45, tzinfo=UTC)),
        ("1.5h", datetime(2026, 1, 13, 7, 30, tzinfo=UTC)),
        ("2026-01-13T08:00:00", datetime(2026, 1, 13, 8, 0, tzinfo=UTC)),
        ("2026-01-13T08:00:00+01:00", datetime(2026, 1, 13, 7, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_a_moment_or_how_long_ago(written: str, time: datetime) -> None:
    assert moment(written, now=NOW) == time


@pytest.mark.parametrize("written", ["yesterday", "99999999999h", "99999d"])
def test_what_is_no_time_is_refused(written: str) -> None:
    with pytest.raises(LabError, match=f"'{written}' is no time"):
        moment(written, now=NOW)


@pytest.mark.parametrize("scheme", [b"Bearer", b"bearer", b"BEARER"])
def test_over_http_the_right_token_lets_a_request_through(scheme: bytes) -> None:
    assert status([(b"authorization", scheme + b" right")]) == 200


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer wrong")],
        [(b"authorization", b"right")],
        [(b"authorization", b"Basic right")],
        [(b"authorization", b"Bearer")],
        [(b"authorization", b"Bearer right"), (b"authorization", b"Bearer right")],
    ],
)
def test_over_http_any_other_token_is_refused(headers: list[tuple[bytes, bytes]]) -> None:
    assert status(headers) == 401


def test_an_answer_that_fits_comes_as_it_is() -> None:
    answer = {"items": [1, 2, 3], "next_offset": 3, "offset": 0}

    assert fitted(answer, advice="Ask for less.") == answer


def test_a_list_that_is_too_long_ends_where_the_answer_does() -> None:
    found = fitted({"metrics": [f"metric_{n}" for n in range(100_000)]}, advice="Ask for less.")

    names = found["metrics"]
    assert isinstance(names, list)
    assert names == [f"metric_{n}" for n in range(len(names))]
    assert (found["is_cut"], found["how_to_see_more"]) == (True, "Ask for less.")
    assert MOST_CHARACTERS - 100 < len(written(found)) <= MOST_CHARACTERS


def test_a_page_that_was_cut_is_followed_by_what_it_left_out() -> None:
    page = {"items": ["x" * 1_000] * 100, "limit": 100, "offset": 200, "next_offset": None}

    found = fitted(page, advice="Ask for less.")

    assert isinstance(found["items"], list)
    assert found["next_offset"] == 200 + len(found["items"])


def test_a_long_series_keeps_its_latest_points() -> None:
    points = [[n, "0.5"] for n in range(20_000)]

    found = fitted({"result": [{"metric": {"job": "x"}, "values": points}]}, advice="Ask for less.")

    [series] = found["result"]  # type: ignore[misc]
    assert series["metric"] == {"job": "x"}  # type: ignore[call-overload,index]
    assert 1_000 < len(series["values"]) < len(points)  # type: ignore[arg-type,call-overload,index]
    assert series["values"] == points[-len(series["values"]) :]  # type: ignore[arg-type,call-overload,index]


@pytest.mark.parametrize(
    "answer",
    [
        {"value": "\0" * 200_000},
        {"value": {f"key {n}": n for n in range(50_000)}},
        {"value": [[["x" * 99_000]]]},
        {"a": ["x" * 60_000], "b": {"c": ["y" * 60_000], "d": 1}},
        {"k" * 100_000: 1},
    ],
)
def test_no_answer_is_longer_than_the_most(answer: dict[str, JsonValue]) -> None:
    found = fitted(answer, advice="Ask for less.")

    assert len(written(found)) <= MOST_CHARACTERS
    assert found["is_cut"]


def test_a_seat_takes_its_run_from_what_the_examiner_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREDRILL_TOKEN", raising=False)
    monkeypatch.delenv("FIREDRILL_RUN", raising=False)
    (tmp_path / "candidate.json").write_text(json.dumps({"run": "r1", "token": "cand-1", "url": ""}))

    found = seat(settings({"LAB_DIR": str(tmp_path)}))

    assert (found.run, found.token) == ("r1", "cand-1")


def test_a_seat_of_another_run_does_not_take_what_was_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FIREDRILL_TOKEN", raising=False)
    monkeypatch.setenv("FIREDRILL_RUN", "r2")
    (tmp_path / "candidate.json").write_text(json.dumps({"run": "r1", "token": "cand-1", "url": ""}))

    found = seat(settings({"LAB_DIR": str(tmp_path)}))

    assert (found.run, found.token) == ("r2", "")


def test_services_elsewhere_are_named_by_the_environment(tmp_path: Path) -> None:
    found = seat(settings({"LAB_DIR": str(tmp_path), "PAYMENT_URL": "http://lab.example:8011"}))

    assert found.url("payment") == "http://lab.example:8011"
    assert found.url("gateway") == "http://127.0.0.1:8010"


def test_psql_and_run_sql_go_to_the_database_that_the_candidate_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://candidate:s%40fe@db.invalid:6543/firedrill?sslmode=require"
    monkeypatch.setenv("CANDIDATE_DATABASE_URL", url)
    lab = settings({"LAB_DIR": str(tmp_path)})

    assert seat(lab).database_url == url
    assert libpq_variables(candidate_database_url(lab)) == {
        "PGHOST": "db.invalid",
        "PGPORT": "6543",
        "PGUSER": "candidate",
        "PGPASSWORD": "s@fe",
        "PGDATABASE": "firedrill",
        "PGSSLMODE": "require",
    }


def test_a_lab_on_another_server_is_asked_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CANDIDATE_DATABASE_URL", raising=False)
    user = {"LAB_DIR": str(tmp_path), "DATABASE_URL": "postgresql://boss:secret@db.invalid:6543/postgres"}

    found = candidate_database_url(settings(user))

    assert found == "postgresql://candidate:candidate@db.invalid:6543/firedrill"


def test_a_lab_that_has_ended_is_not_taken_for_the_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CANDIDATE_DATABASE_URL", raising=False)
    left = [
        Standing("payment", "http://127.0.0.1:8011"),
        Standing("postgres", "postgresql://127.0.0.1:5432/x"),
    ]
    state.write(tmp_path, supervisor=Identity.own(), components=left)
    user = {"LAB_DIR": str(tmp_path), "PAYMENT_PORT": "18011", "POSTGRES_PORT": "15432"}

    found = seat(settings(user))

    assert found.url("payment") == "http://127.0.0.1:18011"
    assert found.database_url == "postgresql://candidate:candidate@127.0.0.1:15432/firedrill"


def test_an_actor_with_blanks_is_refused_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREDRILL_ACTOR", "ana b")

    with pytest.raises(LabError) as refused:
        seat(settings({"LAB_DIR": str(tmp_path)}))

    assert str(refused.value) == "FIREDRILL_ACTOR='ana b': 1 to 64 visible signs, without blanks"


def test_without_a_token_nothing_is_served_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIREDRILL_TOKEN", raising=False)

    with pytest.raises(LabError, match="FIREDRILL_TOKEN"):
        serve_on_http(seat(settings({"LAB_DIR": str(tmp_path)})), host="127.0.0.1", port=1)
