"""What is exported of the telemetry that services really shipped."""

from datetime import UTC, datetime, timedelta

from lab.export.telemetry import LATEST, StoredTelemetry
from tests.conftest import LabDatabase

AT = datetime(2026, 3, 4, 9, 0, tzinfo=UTC)
SIGNAL = """
INSERT INTO telemetry.signals (signal_id, timestamp, received_at, service, level, message, attributes)
VALUES (gen_random_uuid(), %s, %s, 'payment', 'ERROR', %s, '{"status": 503}')
"""
SPAN = """
INSERT INTO telemetry.spans
    (trace_id, span_id, received_at, service, name, kind, status, started_at, duration_ms)
VALUES (%s, %s, %s, 'payment', 'POST /api/payment', 'server', 'error', %s, 12.5)
"""


def test_what_happened_in_the_time_is_exported_once_however_late_it_came(lab_database: LabDatabase) -> None:
    platform = lab_database.connect("platform")
    platform.autocommit = True
    happened = {"before": -1, "first": 0, "across": 59.9, "late": 170, "last": 180, "after": 181}
    received_later = {"across": 30, "late": LATEST.total_seconds() - 1}
    with platform.cursor() as cursor:
        for message, at_s in happened.items():
            at = AT + timedelta(seconds=at_s)
            received_at = at + timedelta(seconds=received_later.get(message, 0.1))
            cursor.execute(SIGNAL, [at, received_at, message])
            cursor.execute(SPAN, ["a" * 32, message.rjust(16, "0"), received_at, at])
    platform.close()

    reader = lab_database.connect("examiner")
    telemetry = StoredTelemetry(reader, since=AT, until=AT + timedelta(seconds=180))
    lines, spans, gaps = list(telemetry.logs()), list(telemetry.spans()), telemetry.gaps()
    reader.close()

    assert sorted(line.message for line in lines) == ["across", "first", "last", "late"]
    assert lines[0].attributes == {"status": 503}
    assert lines[0].at == AT
    assert sorted(span.span_id.lstrip("0") for span in spans) == ["across", "first", "last", "late"]
    assert gaps == []


def test_what_telemetry_has_removed_is_said(lab_database: LabDatabase) -> None:
    platform = lab_database.connect("platform")
    platform.autocommit = True
    with platform.cursor() as cursor:
        cursor.execute(SIGNAL, [AT + timedelta(minutes=5), AT + timedelta(minutes=5), "late"])
    platform.close()

    reader = lab_database.connect("examiner")
    gaps = StoredTelemetry(reader, since=AT, until=AT + timedelta(minutes=9)).gaps()
    reader.close()

    assert gaps == [
        "there are no spans at all",
        "there are no log lines before 09:05:00 UTC: telemetry has removed them",
    ]
