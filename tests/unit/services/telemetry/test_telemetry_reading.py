"""What is read without a database: envelopes, moments, groups of errors, rows."""

from datetime import UTC, datetime

import pytest

from services.common.errors import BadRequest, Unprocessable
from services.telemetry import envelope, grouping, sentry_items
from services.telemetry.envelope import Item
from services.telemetry.moments import moment
from services.telemetry.records import Frame, json_of, text_of, trace_id_of
from services.telemetry.settings import TelemetrySettings

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)


def frame(function: str, *, module: str = "till.app", lineno: int = 1) -> Frame:
    return Frame(filename="app.py", function=function, lineno=lineno, module=module)


def group(*frames: Frame, **told: object) -> str:
    given = {"service": "till", "type_": "KeyError", "value": "v", "fingerprint": None, **told}
    return grouping.group_id(frames=frames, **{"in_app": [True] * len(frames), **given})  # type: ignore[arg-type]


def test_a_payload_with_a_length_may_hold_line_breaks_and_be_empty() -> None:
    body = b'{}\n{"type":"a","length":3}\n1\n2\n{"type":"b","length":0}\n\n{"type":"c"}\nxyz'

    assert envelope.parse(body).items == [Item("a", b"1\n2"), Item("b", b""), Item("c", b"xyz")]


def test_an_envelope_may_end_with_line_breaks_and_have_no_items() -> None:
    assert envelope.parse(b'{"event_id":"e"}') == envelope.parse(b'{"event_id":"e"}\n\n')
    assert envelope.parse(b'{}\r\n{"type":"a"}\r\nx\n\n').items == [Item("a", b"x")]


def test_an_envelope_with_too_many_items_is_refused() -> None:
    with pytest.raises(BadRequest, match="1000 items"):
        envelope.parse(b"{}\n" + b'{"type":"a"}\nx\n' * 1001)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2026-11-21T09:00:00Z", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21T10:00:00+01:00", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21T10:00:00 01:00", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21T09:00:00", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("2026-11-21", datetime(2026, 11, 21, tzinfo=UTC)),
        ("60m", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("1h", datetime(2026, 11, 21, 9, tzinfo=UTC)),
        ("1d", datetime(2026, 11, 20, 10, tzinfo=UTC)),
        ("500ms", datetime(2026, 11, 21, 9, 59, 59, 500_000, tzinfo=UTC)),
        ("0001-01-01T00:00:00+14:00", datetime(1970, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_time_or_how_long_ago(text: str, found: datetime) -> None:
    assert moment(text, now=NOW) == found


@pytest.mark.parametrize("text", ["", "soon", "15", "-5m", "5 m", "999999999d", "2026-02-30T00:00:00Z", "٥m"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Unprocessable):
        moment(text, now=NOW)


def test_with_a_stack_neither_message_nor_line_makes_another_group() -> None:
    first = group(frame("main"), frame("open", lineno=3))

    assert first == group(frame("main"), frame("open", lineno=9), value="another")
    assert first != group(frame("main"), frame("shut"))
    assert first != group(frame("main"), frame("open"), type_="ValueError")
    assert first != group(frame("main"), frame("open"), service="cellar")


def test_frames_of_libraries_make_no_difference_where_there_are_own_ones() -> None:
    own, library = frame("open"), frame("read", module="codecs")

    assert group(own, library, in_app=[True, False]) == group(own)
    assert group(library, in_app=[False]) != group(own)
    assert grouping.culprit([own, library], in_app=[True, False]) == "till.app in open"


def test_without_a_stack_ids_in_the_message_make_no_difference() -> None:
    assert group(value="order 17 of 0x7f3a") == group(value="order 4 of 0xbeef")
    assert group(value="no order") != group(value="no drawer")


def test_a_fingerprint_is_above_all_and_may_refine_the_default() -> None:
    assert group(frame("a"), fingerprint=["mine"]) == group(frame("b"), fingerprint=["mine"])
    refined = group(frame("a"), fingerprint=["{{ default }}", "x"])
    assert refined == group(frame("a"), fingerprint=["{{ default }}", "x"])
    assert len({refined, group(frame("a")), group(frame("b"), fingerprint=["{{ default }}", "x"])}) == 3


@pytest.mark.parametrize("level", [{}, ["error"], None, 7, "loud"])
def test_an_event_whose_level_is_none_is_an_error(level: object) -> None:
    told = {"event_id": "9ec79c33ec9942ab8353589fcb2e04dc", "level": level}

    assert sentry_items.error_event(told, received_at=NOW).level == "error"


def test_text_is_what_postgres_keeps() -> None:
    assert text_of("a\x00b\ud800") == "a\ufffdb?"
    assert text_of("x" * 20, at_most=5) == "xxxx…"
    assert json_of({"n": float("inf"), "i": 2**70, "t": (1, b"b")}) == {
        "n": "inf", "i": hex(2**70), "t": [1, "b'b'"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("AB12", "ab12"),
        ("0" * 32, None),
        ("", None),
        (None, None),
        ("a b", None),
        ("x" * 65, None),
        (7, None),
    ],
)
def test_a_trace_id_of_zeros_is_none(given: object, kept: str | None) -> None:
    assert trace_id_of(given) == kept


def test_telemetry_ships_elsewhere_what_it_would_ship_to_itself() -> None:
    settings = TelemetrySettings(
        _env_file=None,  # type: ignore[call-arg]
        telemetry_url="http://telemetry:8006",
        sentry_dsn="http://lab@telemetry:8006/1",
        otel_exporter_otlp_endpoint="http://telemetry:8006/",
        prodsentinel_url="https://sentinel.test",
    )

    assert (settings.sentry_dsn, settings.otel_exporter_otlp_endpoint) == ("", "")
    assert settings.prodsentinel_url == "https://sentinel.test"
