"""Pages are accepted once, delivered at least once, retried, bundled, and given up out loud."""

import hashlib
import hmac
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from sqlalchemy import inspect, text

from services.common.breaker import FAILURES_TO_OPEN
from services.common.database import Database
from services.notification.outbox import BUNDLE_SIZE, Outbox
from services.notification.page import Page
from services.notification.schemas import NewNotification
from services.notification.settings import NotificationSettings
from services.notification.tables import metadata
from tests.conftest import LabDatabase, RunningService, Shop
from tests.receivers import HttpReceiver, Mailbox, Posted, http_receiver, hung_receiver, mailbox

SERVICE = "notification-service"
SECRET = "page-secret"
QUICK = {"RETRY_BASE_S": "0.05", "RETRY_CAP_S": "0.4", "DELIVERY_TIMEOUT_S": "1", "BUNDLE_AFTER": "1000"}
Eventually = Callable[..., None]


@pytest.fixture
def hook() -> Iterator[HttpReceiver]:
    """A webhook's receiver that takes everything."""
    with http_receiver() as receiver:
        yield receiver


@pytest.fixture
def box() -> Iterator[Mailbox]:
    """A mail server that takes everything."""
    with mailbox() as box:
        yield box


def start(shop: Shop, **environment: str) -> RunningService:
    return shop.start(SERVICE, **{**QUICK, "WEBHOOK_SECRET": SECRET, **environment})


def notify(service: RunningService, *, key: str | None = None, **fields: str) -> httpx.Response:
    body = {
        "incident_id": "inc-1",
        "channel": "console",
        "recipient": "ada",
        "message": "checkout is down",
        **fields,
    }
    return service.client.post(
        "/api/v1/notify", json=body, headers={"Idempotency-Key": key} if key is not None else {}
    )


def page(service: RunningService, **fields: str) -> str:
    """Have somebody paged; the delivery's id."""
    answer = notify(service, **fields)
    assert answer.status_code == 202, answer.text
    delivery_id: str = answer.json()["delivery_id"]
    return delivery_id


def read(service: RunningService, delivery_id: str) -> dict[str, Any]:
    found: dict[str, Any] = service.client.get(f"/api/v1/notifications/{delivery_id}").json()
    return found


def has_status(service: RunningService, delivery_id: str, status: str) -> Callable[[], bool]:
    return lambda: read(service, delivery_id)["status"] == status


def listed(service: RunningService, **filters: str | int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = service.client.get("/api/v1/notifications", params=filters).json()["items"]
    return items


def log_lines(service: RunningService, event: str) -> list[dict[str, Any]]:
    finished = service.log.read_text().rpartition("\n")[0]
    return [line for line in map(json.loads, finished.splitlines()) if line["event"] == event]


# --- what is accepted


def test_a_page_on_the_console_is_a_line_of_the_log(shop: Shop, eventually: Eventually) -> None:
    service = start(shop)

    answer = notify(service, message="checkout is down:\nsee the dashboard")

    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    delivery_id = answer.json()["delivery_id"]
    eventually(has_status(service, delivery_id, "delivered"))
    (line,) = log_lines(service, "notification.page")
    assert (line["delivery_id"], line["recipient"]) == (delivery_id, "ada")
    assert line["message"] == "checkout is down:\nsee the dashboard"
    assert line["incident_id"] == "inc-1"


@pytest.mark.parametrize(
    "fields",
    [
        {"channel": "pigeon"},
        {"channel": None},
        {"recipient": ""},
        {"recipient": "two\nlines"},
        {"message": ""},
        {"message": "nul \x00"},
        {"message": "x" * 4001},
        {"incident_id": None},
        {"priority": "high"},
    ],
)
def test_what_is_no_notification_is_a_422_and_not_kept(standing_shop: Shop, fields: dict[str, Any]) -> None:
    service = standing(standing_shop)
    before = len(listed(service))

    answer = notify(service, **fields)

    assert answer.status_code == 422
    assert answer.json()["detail"]
    assert len(listed(service)) == before


def standing(shop: Shop) -> RunningService:
    """The service of a module's shop, started once; nobody listens where its webhook goes."""
    try:
        return shop[SERVICE]
    except KeyError:
        return start(shop, WEBHOOK_URL="http://127.0.0.1:9/", MAX_ATTEMPTS="1")


def test_the_same_key_is_one_notification_and_the_same_answer(standing_shop: Shop, at_once: Any) -> None:
    service = standing(standing_shop)
    key, recipient = str(uuid.uuid4()), f"key-{uuid.uuid4()}"

    answers = at_once([lambda: notify(service, key=key, recipient=recipient)] * 16)

    assert {answer.status_code for answer in answers} == {202}
    assert {answer.text for answer in answers} == {answers[0].text}
    assert len(listed(service, recipient=recipient)) == 1


@pytest.mark.parametrize("other", [{"message": "another"}, {"recipient": "grace"}, {"incident_id": "inc-2"}])
def test_a_key_used_for_another_request_is_a_422(standing_shop: Shop, other: dict[str, str]) -> None:
    service = standing(standing_shop)
    key = str(uuid.uuid4())
    notify(service, key=key)

    answer = notify(service, key=key, **other)

    assert answer.status_code == 422
    assert answer.json() == {"detail": "this Idempotency-Key was used for a different request"}


def test_notifications_are_listed_newest_first_filtered_and_paged(
    standing_shop: Shop, eventually: Eventually
) -> None:
    service = standing(standing_shop)
    recipient = f"lister-{uuid.uuid4()}"
    ids = [page(service, recipient=recipient, incident_id=f"inc-{n % 2}") for n in range(5)]
    hooked = page(service, recipient=recipient, channel="webhook")
    eventually(lambda: len(listed(service, recipient=recipient, status="delivered")) == 5)

    def ids_of(**filters: str | int) -> list[str]:
        return [one["delivery_id"] for one in listed(service, recipient=recipient, **filters)]

    assert ids_of() == [hooked, *reversed(ids)]
    assert ids_of(incident_id="inc-1", channel="console") == [ids[3], ids[1]]
    assert ids_of(channel="webhook") == [hooked]
    eventually(lambda: ids_of(status="dead") == [hooked])
    first = service.client.get(
        "/api/v1/notifications", params={"recipient": recipient, "limit": 4, "offset": 0}
    ).json()
    assert (len(first["items"]), first["next_offset"]) == (4, 4)
    assert ids_of(limit=4, offset=4) == [ids[1], ids[0]]


@pytest.mark.parametrize("filters", [{"limit": 0}, {"limit": 201}, {"offset": -1}, {"channel": "pigeon"}])
def test_a_filter_that_is_none_is_a_422(standing_shop: Shop, filters: dict[str, Any]) -> None:
    assert standing(standing_shop).client.get("/api/v1/notifications", params=filters).status_code == 422


def test_an_unknown_notification_is_a_404(standing_shop: Shop) -> None:
    answer = standing(standing_shop).client.get(f"/api/v1/notifications/{uuid.uuid4()}")

    assert answer.status_code == 404


# --- the receivers


def test_the_webhook_is_signed_over_its_timestamp_and_body(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(shop, WEBHOOK_URL=hook.url)

    delivery_id = page(service, channel="webhook", message="größer als 10 %")

    eventually(has_status(service, delivery_id, "delivered"))
    (posted,) = hook.posted
    timestamp = posted.headers["x-firedrill-timestamp"]
    expected = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + posted.body, hashlib.sha256).hexdigest()
    assert posted.headers["x-firedrill-signature"] == f"v1={expected}"
    assert abs(int(timestamp) - time.time()) < 30
    assert posted.headers["x-firedrill-delivery"] == delivery_id
    body = json.loads(posted.body)
    own = {"delivery_id": delivery_id, "incident_id": "inc-1", "message": "größer als 10 %"}
    assert {name: body[name] for name in own} == own
    assert (body["channel"], body["recipient"]) == ("webhook", "ada")
    assert body["notifications"] == [own]


def test_a_mail_arrives_at_a_recipients_address_with_the_deliverys_id(
    shop: Shop, box: Mailbox, eventually: Eventually
) -> None:
    service = start(shop, NOTIFY_URLS=box.url)

    delivery_id = page(service, channel="email", recipient="grace@shop.test")

    eventually(has_status(service, delivery_id, "delivered"))
    (mail,) = box.mails
    assert box.recipients == [["grace@shop.test"]]
    assert mail["X-Firedrill-Delivery"] == delivery_id
    assert mail["Subject"] == "Incident inc-1"
    body = mail.get_body(("plain",))
    assert body is not None
    assert "checkout is down" in body.get_content()
    assert delivery_id in body.get_content()
    assert log_lines(service, "notification.page")[0]["delivery_id"] == delivery_id


def test_a_mail_to_a_name_goes_to_the_address_of_the_url(
    shop: Shop, box: Mailbox, eventually: Eventually
) -> None:
    service = start(shop, NOTIFY_URLS=box.url)

    delivery_id = page(service, channel="email", recipient="ada")

    eventually(has_status(service, delivery_id, "delivered"))
    assert box.recipients == [["everybody@shop.test"]]


def test_a_chat_message_goes_to_every_chat_url_and_to_no_mail_server(
    shop: Shop, box: Mailbox, hook: HttpReceiver, eventually: Eventually
) -> None:
    with http_receiver() as other:
        urls = [box.url, *(one.url.replace("http://", "json://") for one in (hook, other))]
        service = start(shop, NOTIFY_URLS=" ".join(urls))

        delivery_id = page(service, channel="chat")

        eventually(has_status(service, delivery_id, "delivered"))
        (first,), (second,) = hook.posted, other.posted
    for posted in (first, second):
        message = json.loads(posted.body)["message"]
        assert message == f"checkout is down\n\ndelivery {delivery_id}"
    assert not box.mails


def test_what_is_for_a_channel_that_is_not_set_up_goes_to_the_console_and_says_so(
    shop: Shop, eventually: Eventually
) -> None:
    service = start(shop)
    asked = {"incident_id": "inc-1", "recipient": "ada", "message": "checkout is down"}
    headers = {"idempotency-key": "the-same"}

    receipts = [
        service.client.post("/api/v1/notify", json={**asked, "channel": "email"}, headers=headers).json()
        for _ in range(2)
    ]
    others = [page(service, channel=channel) for channel in ("chat", "webhook")]

    note = "asked for email, which is not set up: NOTIFY_URLS has no mailto:// URL"
    assert receipts[0] == receipts[1]
    assert (receipts[0]["channel"], receipts[0]["note"]) == ("console", note)
    for delivery_id in (receipts[0]["delivery_id"], *others):
        eventually(has_status(service, delivery_id, "delivered"))
    notification = read(service, receipts[0]["delivery_id"])
    assert (notification["channel"], notification["note"]) == ("console", note)
    assert len(log_lines(service, "notification.page")) == 3


def test_what_was_queued_for_a_channel_that_is_not_set_up_any_more_goes_to_the_console(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = lambda _: 503
    service = start(shop, WEBHOOK_URL=hook.url)
    delivery_id = page(service, channel="webhook")
    eventually(lambda: hook.posted)

    service = shop.restart(SERVICE, WEBHOOK_URL="")

    eventually(has_status(service, delivery_id, "delivered"))
    assert log_lines(service, "notification.page")[-1]["delivery_id"] == delivery_id


@pytest.mark.parametrize("url", ["nonsense://token-1234@host", "mailto://", "not a url"])
def test_a_url_that_apprise_does_not_know_stops_the_start_without_telling_its_secrets(
    shop: Shop, url: str
) -> None:
    service = shop.launch(SERVICE, {"NOTIFY_URLS": url})

    service.process.join(20)

    assert service.process.exitcode == 1
    assert "NOTIFY_URLS: Apprise does not know" in service.log.read_text()
    assert "token-1234" not in service.log.read_text()


# --- retries


def failing(times: int) -> Callable[[Posted], int]:
    """Answer 503 so often, then 200."""
    left = iter([503] * times)
    return lambda _: next(left, 200)


def test_a_failed_delivery_is_tried_again_under_the_same_id_with_a_row_for_each_attempt(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = failing(3)
    service = start(shop, WEBHOOK_URL=hook.url)

    delivery_id = page(service, channel="webhook")

    eventually(has_status(service, delivery_id, "delivered"))
    assert hook.header("x-firedrill-delivery") == [delivery_id] * 4
    assert len({one.body for one in hook.posted}) == 1
    found = read(service, delivery_id)
    assert [(one["number"], one["outcome"]) for one in found["attempts"]] == [
        (1, "failed"),
        (2, "failed"),
        (3, "failed"),
        (4, "delivered"),
    ]
    assert found["attempts"][0]["error"] == "webhook: status 503"
    assert found["attempt_count"] == 4
    # What was reached in the first attempt is not told again in the others.
    assert len(log_lines(service, "notification.page")) == 1


def test_a_notification_is_dead_after_its_last_attempt_and_the_log_and_the_metrics_say_so(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = lambda _: 400
    service = start(shop, WEBHOOK_URL=hook.url, MAX_ATTEMPTS="3")

    delivery_id = page(service, channel="webhook")

    eventually(has_status(service, delivery_id, "dead"))
    assert len(hook.posted) == 3
    assert [one["outcome"] for one in read(service, delivery_id)["attempts"]] == ["failed"] * 3
    (line,) = log_lines(service, "notification.dead")
    assert (line["level"], line["delivery_id"], line["attempt"]) == ("error", delivery_id, 3)
    assert service.metric("notifications_total", channel="webhook", status="dead") == 1
    assert service.metric("notifications_total", channel="webhook", status="failed") == 3
    eventually(lambda: service.metric("notifications_pending") == 0)


def test_a_receiver_that_has_failed_repeatedly_is_left_alone_for_a_while(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = lambda _: 503
    service = start(shop, WEBHOOK_URL=hook.url, MAX_ATTEMPTS=str(FAILURES_TO_OPEN + 2))

    delivery_id = page(service, channel="webhook")

    eventually(has_status(service, delivery_id, "dead"))
    assert len(hook.posted) == FAILURES_TO_OPEN
    assert read(service, delivery_id)["last_error"] == "webhook: not tried, it has failed repeatedly"


def test_a_receiver_that_refuses_one_message_again_and_again_is_asked_to_take_the_next_one(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = lambda _: 400
    service = start(shop, WEBHOOK_URL=hook.url, MAX_ATTEMPTS=str(FAILURES_TO_OPEN))
    refused = page(service, channel="webhook")
    eventually(has_status(service, refused, "dead"))
    hook.answer = lambda _: 200

    taken = page(service, channel="webhook")

    eventually(has_status(service, taken, "delivered"))


def test_metrics_tell_what_is_queued_delivered_and_pending(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(shop, WEBHOOK_URL="http://127.0.0.1:1/", RETRY_BASE_S="60", RETRY_CAP_S="60")

    page(service)
    page(service, channel="webhook")

    eventually(lambda: service.metric("notifications_pending") == 1)
    eventually(lambda: service.metric("notifications_total", channel="console", status="delivered") == 1)
    assert service.metric("notifications_total", channel="console", status="queued") == 1
    assert service.metric("notification_delivery_seconds_count", channel="console") == 1
    assert service.metric("notification_delivery_seconds_sum", channel="console") < 5


def test_what_is_pending_is_known_again_after_a_kill(shop: Shop, eventually: Eventually) -> None:
    service = start(shop, WEBHOOK_URL="http://127.0.0.1:1/", RETRY_BASE_S="60", RETRY_CAP_S="60")
    delivery_id = page(service, channel="webhook")
    eventually(lambda: read(service, delivery_id)["last_error"] is not None)

    service = shop.restart(SERVICE)

    eventually(lambda: service.metric("notifications_pending") == 1)


def test_a_hung_receiver_never_blocks_others(shop: Shop, hook: HttpReceiver, eventually: Eventually) -> None:
    with hung_receiver() as hung:
        service = start(
            shop,
            WEBHOOK_URL=f"http://{hung}/",
            NOTIFY_URLS=f"json://{hung}/ {hook.url.replace('http://', 'json://')}",
            DELIVERY_TIMEOUT_S="30",
        )
        for n in range(40):
            page(service, channel="webhook", recipient=f"r{n}")
        for n in range(10):
            page(service, channel="chat", recipient=f"r{n}")

        started = time.monotonic()
        delivery_id = page(service, channel="console")
        eventually(has_status(service, delivery_id, "delivered"), within_s=5)
        assert time.monotonic() - started < 3
        eventually(lambda: len(hook.posted) == 10, within_s=5)
        assert service.client.get("/health").elapsed.total_seconds() < 1


def test_a_receiver_that_has_the_message_is_not_sent_it_again_because_another_has_not(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    with http_receiver(failing(2)) as flaky:
        urls = " ".join(one.url.replace("http://", "json://") for one in (hook, flaky))
        service = start(shop, NOTIFY_URLS=urls)

        delivery_id = page(service, channel="chat")

        eventually(has_status(service, delivery_id, "delivered"))
        assert len(flaky.posted) == 3
    assert len(hook.posted) == 1


# --- bundles


def test_a_storm_for_one_recipient_becomes_one_message_that_lists_it(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(shop, WEBHOOK_URL=hook.url, BUNDLE_AFTER="3", BUNDLE_COLLECT_S="2")

    ids = [page(service, channel="webhook", incident_id=f"i-{n}", message=f"alert {n}") for n in range(20)]
    other = page(service, channel="webhook", recipient="grace")

    for delivery_id in [*ids, other]:
        eventually(has_status(service, delivery_id, "delivered"))
    bodies = [json.loads(one.body) for one in hook.posted]
    alone = [body for body in bodies if len(body["notifications"]) == 1]
    (bundle,) = [body for body in bodies if len(body["notifications"]) > 1]
    assert {body["delivery_id"] for body in alone} == {*ids[:3], other}
    assert [one["delivery_id"] for one in bundle["notifications"]] == ids[3:]
    assert bundle["recipient"] == "ada"
    assert bundle["message"].splitlines() == [
        "17 notifications for ada:",
        *(f"- incident i-{n}: alert {n}" for n in range(3, 20)),
    ]
    member = read(service, ids[3])
    assert member["bundle_id"] == bundle["delivery_id"]
    assert [one["outcome"] for one in member["attempts"]] == ["delivered"]
    assert read(service, bundle["delivery_id"])["is_bundle"]
    assert service.metric("notifications_total", channel="webhook", status="bundled") == 17
    assert service.metric("notifications_total", channel="webhook", status="queued") == 21
    assert service.metric("notifications_total", channel="webhook", status="delivered") == 21


def test_what_comes_when_a_bundle_is_on_its_way_goes_into_the_next_one(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(shop, WEBHOOK_URL=hook.url, BUNDLE_AFTER="1", BUNDLE_COLLECT_S="1")
    stop = threading.Event()
    ids: list[str] = []

    def storm() -> None:
        while not stop.is_set():
            ids.append(page(service, channel="webhook", message="again"))

    clients = [threading.Thread(target=storm) for _ in range(4)]
    for client in clients:
        client.start()
    time.sleep(3.5)
    stop.set()
    for client in clients:
        client.join()

    for delivery_id in ids:
        eventually(has_status(service, delivery_id, "delivered"))
    told = [one["delivery_id"] for post in hook.posted for one in json.loads(post.body)["notifications"]]
    assert sorted(told) == sorted(ids)
    assert 3 <= len(hook.posted) < len(ids) / 2


def test_a_bundle_lists_so_many_and_then_the_next_one_opens(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(shop, WEBHOOK_URL=hook.url, BUNDLE_AFTER="1", BUNDLE_COLLECT_S="10")

    ids = [page(service, channel="webhook", message="m" * 300) for _ in range(BUNDLE_SIZE + 3)]

    for delivery_id in ids:
        eventually(has_status(service, delivery_id, "delivered"), within_s=25)
    sizes = [len(json.loads(one.body)["notifications"]) for one in hook.posted]
    assert sorted(sizes) == [1, 2, BUNDLE_SIZE]


def test_a_dead_bundle_is_the_death_of_all_that_it_lists(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = lambda _: 500
    service = start(shop, WEBHOOK_URL=hook.url, BUNDLE_AFTER="1", BUNDLE_COLLECT_S="0.3", MAX_ATTEMPTS="2")

    ids = [page(service, channel="webhook") for _ in range(4)]

    for delivery_id in ids:
        eventually(has_status(service, delivery_id, "dead"))
    assert service.metric("notifications_total", channel="webhook", status="dead") == 4
    assert {line["delivery_id"] for line in log_lines(service, "notification.dead")} == set(ids)


# --- nothing is lost


def slow_receiver(seconds: float) -> Callable[[Posted], int]:
    def answer(_: Posted) -> int:
        time.sleep(seconds)
        return 200

    return answer


def test_a_kill_in_the_middle_loses_no_notification(
    shop: Shop, hook: HttpReceiver, eventually: Eventually
) -> None:
    hook.answer = slow_receiver(0.3)
    service = start(shop, WEBHOOK_URL=hook.url, DELIVERY_TIMEOUT_S="0.9")
    ids = [page(service, channel="webhook", recipient=f"r{n}") for n in range(60)]
    eventually(lambda: len(hook.posted) >= 20)

    service = shop.restart(SERVICE)

    eventually(lambda: set(hook.header("x-firedrill-delivery")) == set(ids), within_s=30)
    for delivery_id in ids:
        eventually(has_status(service, delivery_id, "delivered"))
    # Only what was under way when it was killed comes twice.
    assert len(hook.posted) <= len(ids) + 16
    outcomes = [one["outcome"] for delivery_id in ids for one in read(service, delivery_id)["attempts"]]
    assert outcomes.count("delivered") == len(ids)
    assert 0 < outcomes.count("interrupted") <= 16


def test_two_replicas_double_no_delivery(shop: Shop, hook: HttpReceiver, eventually: Eventually) -> None:
    first = start(shop, WEBHOOK_URL=hook.url)
    second = shop.start_replica(SERVICE, **{**QUICK, "WEBHOOK_SECRET": SECRET, "WEBHOOK_URL": hook.url})

    ids = [page(one, channel="webhook", recipient=f"r{n}") for n in range(100) for one in (first, second)]

    eventually(lambda: len(hook.posted) >= len(ids))
    for delivery_id in ids:
        eventually(has_status(first, delivery_id, "delivered"))
    assert sorted(hook.header("x-firedrill-delivery")) == sorted(ids)
    delivered = [one.metric("notifications_total", status="delivered") for one in (first, second)]
    assert sum(delivered) == len(ids)
    assert min(delivered) > 0


def test_a_message_that_kills_its_process_in_every_attempt_is_given_up(
    shop: Shop, lab_database: LabDatabase, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(shop, WEBHOOK_URL="http://127.0.0.1:1/", RETRY_BASE_S="600", RETRY_CAP_S="600")
    delivery_id = page(service, channel="webhook")
    eventually(lambda: read(service, delivery_id)["last_error"] is not None)
    with lab_database.engine("platform").begin() as db:
        db.execute(text("UPDATE notification.deliveries SET attempt_count = 10, due_at = now()"))

    eventually(has_status(service, delivery_id, "dead"))

    assert read(service, delivery_id)["last_error"] == "interrupted in its last attempt"


@pytest.mark.parametrize(
    "give_up",
    [
        lambda outbox, late: outbox.dead(late, error="no answer"),
        lambda outbox, late: outbox.postpone(late, reached=frozenset({"webhook"}), error="no answer"),
    ],
    ids=["dead", "postponed"],
)
def test_an_attempt_whose_lease_has_passed_decides_nothing_about_the_one_after_it(
    lab_database: LabDatabase, give_up: Callable[[Outbox, Page], object]
) -> None:
    database = Database(lab_database.url("platform"), service=SERVICE, schema="notification")
    outbox = Outbox(database, NotificationSettings())
    new = NewNotification(incident_id="inc-1", channel="console", recipient="ada", message="m")
    delivery_id = outbox.accept(new, key=None).delivery_id
    [late] = outbox.claim("console", 1)
    with lab_database.engine("platform").begin() as db:
        db.execute(text("UPDATE notification.deliveries SET due_at = now()"))
    outbox.claim("console", 1)
    before = outbox.notification(delivery_id)

    give_up(outbox, late)

    after = outbox.notification(delivery_id)
    database.dispose()
    assert after.model_dump(exclude={"attempts"}) == before.model_dump(exclude={"attempts"})
    assert after.attempts[-1] == before.attempts[-1]


def test_what_is_accepted_while_the_database_was_restarted_is_delivered(
    shop: Shop, lab_database: LabDatabase, eventually: Eventually
) -> None:
    service = start(shop)
    page(service)
    with lab_database.connect("postgres").cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'platform' AND datname = current_database()"
        )

    delivery_id = page(service)

    eventually(has_status(service, delivery_id, "delivered"))


# --- the tables


def test_the_tables_in_code_are_those_of_the_database(lab_database: LabDatabase) -> None:
    inspector = inspect(lab_database.engine("platform"))

    assert set(inspector.get_table_names("notification")) == {
        table.name for table in metadata.tables.values()
    }
    for table in metadata.tables.values():
        columns = {c["name"]: c["nullable"] for c in inspector.get_columns(table.name, "notification")}
        assert columns == {c.name: c.nullable for c in table.columns}, table.name


def test_a_candidate_reads_deliveries_and_changes_none(lab_database: LabDatabase) -> None:
    with lab_database.connect("candidate").cursor() as cursor:
        cursor.execute("SELECT count(*) FROM notification.deliveries")
        with pytest.raises(Exception, match="permission denied"):
            cursor.execute("DELETE FROM notification.deliveries")


def test_old_notifications_are_deleted_and_young_or_waiting_ones_are_not(
    shop: Shop, lab_database: LabDatabase, hook: HttpReceiver, eventually: Eventually
) -> None:
    service = start(
        shop, WEBHOOK_URL=hook.url, BUNDLE_AFTER="1", BUNDLE_COLLECT_S="0.1", KEEP_DAYS="2", PRUNE_EVERY_S="1"
    )
    old = [page(service, channel="webhook") for _ in range(3)]
    young = page(service, channel="console")
    for delivery_id in [*old, young]:
        eventually(has_status(service, delivery_id, "delivered"))
    hook.answer = lambda _: 503
    waiting = page(service, channel="webhook", recipient="grace")

    with lab_database.connect("postgres").cursor() as cursor:
        cursor.execute(
            "UPDATE notification.deliveries SET created_at = created_at - interval '3 days',"
            " ended_at = ended_at - interval '3 days' WHERE channel = 'webhook'"
        )

    eventually(lambda: service.client.get(f"/api/v1/notifications/{old[0]}").status_code == 404)
    left = service.client.get("/api/v1/notifications").json()["items"]
    assert {one["delivery_id"] for one in left} == {young, waiting}


def test_a_round_that_fails_for_a_reason_nobody_foresaw_is_logged_and_not_the_last(
    shop: Shop, lab_database: LabDatabase, eventually: Eventually
) -> None:
    service = start(shop)
    admin = lab_database.connect("postgres")
    with admin.cursor() as cursor:
        # A channel that this release does not know: no error of the database's, nor of a receiver's.
        cursor.execute("ALTER TABLE notification.deliveries DROP CONSTRAINT deliveries_channel_check")
        cursor.execute(
            "INSERT INTO notification.deliveries (channel, recipient, message) VALUES ('pigeon', 'ada', 'm')"
        )
        eventually(lambda: log_lines(service, "notification.claim.failed"))
        cursor.execute("DELETE FROM notification.deliveries")

    delivery_id = page(service)

    eventually(has_status(service, delivery_id, "delivered"))
    assert "Traceback" in str(log_lines(service, "notification.claim.failed")[0]["exception"])
    admin.close()
