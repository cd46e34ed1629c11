"""What people send by mistake or on purpose: a 4xx that says why, and nothing has changed."""

from typing import Any

import httpx
import pytest

from tests.books import Books
from tests.conftest import LabDatabase, RunningService, Shop

MEGABYTE = 1024 * 1024
SQL = "x' OR 1=1; DROP TABLE payment.customers; --"
STATE = """
SELECT (SELECT md5(string_agg(b::text, ',' ORDER BY customer_id)) FROM payment.account_balances AS b),
       (SELECT md5(string_agg(s::text, ',' ORDER BY sku)) FROM inventory.stock AS s),
       (SELECT count(*) FROM payment.customers), (SELECT count(*) FROM payment.transactions),
       (SELECT count(*) FROM payment.webhook_events), (SELECT count(*) FROM payment.idempotency_keys),
       (SELECT count(*) FROM inventory.reservations), (SELECT count(*) FROM ops.setting_changes)
"""
ID = "5e7b7a57-9a0c-4a3e-9d57-0d6f2f9d7a10"


@pytest.fixture(scope="module")
def whole_shop(standing_shop: Shop) -> Shop:
    standing_shop.start_all()
    return standing_shop


@pytest.fixture(scope="module")
def ask(whole_shop: Shop, standing_database: LabDatabase) -> Any:
    """Send a request that must be refused without a trace; returns the answer."""
    books = Books(standing_database)

    def send(service: str, method: str, path: str, **sent: Any) -> httpx.Response:
        before = books.query(STATE)
        answer = whole_shop[service].client.request(method, path, **sent)
        assert books.query(STATE) == before
        return answer

    return send


def assert_says_where(answer: httpx.Response, *where: str) -> None:
    assert answer.status_code == 422, answer.text
    assert tuple(answer.json()["detail"][0]["loc"]) == where
    assert answer.json()["detail"][0]["msg"]


# --- values


@pytest.mark.parametrize("door", ["payment", "gateway"])
@pytest.mark.parametrize("path", ["/api/payment", "/api/refund"])
@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"amount": "-5"}, "amount"),
        ({"amount": 0}, "amount"),
        ({"amount": "1.005"}, "amount"),
        ({"amount": 0.1 + 0.2}, "amount"),
        ({"amount": "1000000.01"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": "Infinity"}, "amount"),
        ({"amount": "5,00"}, "amount"),
        ({"amount": None}, "amount"),
        ({"amount": ["5"]}, "amount"),
        ({"amount": "9" * 5000}, "amount"),
        ({"customer_id": 0}, "customer_id"),
        ({"customer_id": -1}, "customer_id"),
        ({"customer_id": "one"}, "customer_id"),
        ({"customer_id": 1.5}, "customer_id"),
        ({"customer_id": 2**63}, "customer_id"),
        ({"customer_id": None}, "customer_id"),
        ({"customer_id": {"id": 1}}, "customer_id"),
        ({"currency": "EUR"}, "currency"),
    ],
)
def test_a_movement_of_money_with_a_bad_value_is_a_422_that_names_the_field(
    ask: Any, door: str, path: str, change: dict[str, Any], where: str
) -> None:
    answer = ask(door, "POST", path, json={"customer_id": 1, "amount": "5.00", **change})

    assert_says_where(answer, "body", where)


@pytest.mark.parametrize(
    ("items", "where"),
    [
        ("mug-blue", ("items",)),
        ([{"sku": "mug-blue"}], ("items", "0", "quantity")),
        ([{"sku": "mug-blue", "quantity": 0}], ("items", "0", "quantity")),
        ([{"sku": "mug-blue", "quantity": -3}], ("items", "0", "quantity")),
        ([{"sku": "mug-blue", "quantity": 1001}], ("items", "0", "quantity")),
        ([{"sku": "mug-blue", "quantity": 1.5}], ("items", "0", "quantity")),
        ([{"sku": "Mug", "quantity": 1}], ("items", "0", "sku")),
        ([{"sku": "", "quantity": 1}], ("items", "0", "sku")),
        ([{"sku": SQL, "quantity": 1}], ("items", "0", "sku")),
        ([{"sku": "mug\x00", "quantity": 1}], ("items", "0", "sku")),
        ([{"sku": "mug-blue\n", "quantity": 1}], ("items", "0", "sku")),
        ([{"sku": "mug-blue", "quantity": 1}] * 51, ("items",)),
    ],
)
@pytest.mark.parametrize(
    ("service", "path", "body"),
    [
        ("payment", "/api/payment", {"customer_id": 1, "amount": "5"}),
        ("gateway", "/checkout", {"customer_id": 1, "payment": {"amount": "5"}}),
        ("inventory", "/api/inventory/reserve", {"reservation_id": ID}),
    ],
)
def test_bad_items_are_a_422_everywhere(
    ask: Any, service: str, path: str, body: dict[str, Any], items: Any, where: tuple[str, ...]
) -> None:
    assert_says_where(ask(service, "POST", path, json={**body, "items": items}), "body", *where)


@pytest.mark.parametrize("amount", ["0", "-1", "1.005", "NaN", "", "5 EUR", None, [], "1000000.01"])
def test_a_checkout_with_a_bad_amount_is_a_422(ask: Any, amount: Any) -> None:
    order = {"customer_id": 1, "items": [{"sku": "mug-blue", "quantity": 1}], "payment": {"amount": amount}}

    assert_says_where(ask("gateway", "POST", "/checkout", json=order), "body", "payment", "amount")


@pytest.mark.parametrize("missing", ["customer_id", "items", "payment"])
def test_a_checkout_with_a_missing_part_is_a_422(ask: Any, missing: str) -> None:
    order = {
        "customer_id": 1,
        "items": [{"sku": "mug-blue", "quantity": 1}],
        "payment": {"amount": "5"},
    }
    del order[missing]

    assert_says_where(ask("gateway", "POST", "/checkout", json=order), "body", missing)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\nb"}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"name": "x" * 201}, "name"),
        ({"name": 5}, "name"),
        ({"email": "nobody"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a b@c.test"}, "email"),
        ({"email": f"{'x' * 200}@c.test"}, "email"),
        ({"trusted": True}, "trusted"),
        ({"id": 1}, "id"),
    ],
)
def test_a_bad_customer_is_a_422(ask: Any, change: dict[str, Any], where: str) -> None:
    answer = ask("payment", "POST", "/api/customers", json={"name": "A", "email": "a@b.test", **change})

    assert_says_where(answer, "body", where)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"event_id": "e"}, ("type",)),
        ({"event_id": "", "type": "a"}, ("event_id",)),
        ({"event_id": SQL, "type": "a"}, ("event_id",)),
        ({"event_id": "e" * 101, "type": "a"}, ("event_id",)),
        ({"event_id": "e", "type": "A b"}, ("type",)),
        ({"event_id": "e", "type": "a", "data": []}, ("data",)),
        ({"event_id": "e", "type": "a", "data": {"x": "\x00"}}, ("data",)),
        ({"event_id": "e", "type": "a", "data": {"x": {"y": ["\x00"]}}}, ("data",)),
    ],
)
def test_a_bad_event_is_a_422(ask: Any, body: dict[str, Any], where: tuple[str, ...]) -> None:
    assert_says_where(ask("payment", "POST", "/api/webhooks/payment-gateway", json=body), "body", *where)


@pytest.mark.parametrize(
    "body",
    [
        b'{"event_id": "e", "type": "a", "data": {"x": NaN}}',
        b'{"event_id": "e", "type": "a", "data": {"x": -Infinity}}',
        b'{"event_id": "e", "type": "a", "data": {"x": 1e999}}',
        b'{"event_id": "e", "type": "a", "data": {"x": "\\ud800"}}',
        b'{"event_id": "e", "type": "a", "data": {"\\udfff": 1}}',
        b'{"event_id": "\\ud800", "type": "a"}',
        b'{"event_id": "e", "type": "a", "data": {"x": ' + b"9" * 5000 + b"}}",
        b'{"event_id": "e", "type": "a", "data": {"x": ' + b"[" * 20_000 + b"]" * 20_000 + b"}}",
        b'{"event_id": "e", "type": "a", "data": ' + b'{"a":' * 5000 + b"1" + b"}" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("door", ["payment", "gateway"])
def test_json_that_no_database_keeps_is_refused(ask: Any, door: str, body: bytes) -> None:
    answer = ask(
        door,
        "POST",
        "/api/webhooks/payment-gateway",
        content=body,
        headers={"content-type": "application/json"},
    )

    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


@pytest.mark.parametrize(
    ("said", "body"),
    [
        ("amount", b'{"customer_id": 1, "amount": NaN}'),
        ("amount", b'{"customer_id": 1, "amount": -Infinity}'),
        ("amount", b'{"customer_id": 1, "amount": "\\ud800"}'),
        ("customer_id", b'{"customer_id": "\\udfff", "amount": "5"}'),
        ("string_unicode", b'{"customer_id": 1, "amount": "5", "\\ud800": 1}'),
    ],
)
def test_odd_numbers_and_halves_of_characters_are_a_422(ask: Any, said: str, body: bytes) -> None:
    answer = ask(
        "payment", "POST", "/api/payment", content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 422
    assert said in answer.text


# --- bodies


WRITES = [
    ("payment", "POST", "/api/payment"),
    ("payment", "POST", "/api/refund"),
    ("payment", "POST", "/api/customers"),
    ("payment", "POST", "/api/webhooks/payment-gateway"),
    ("inventory", "POST", "/api/inventory/reserve"),
    ("inventory", "POST", "/api/inventory/release"),
    ("fraud", "POST", "/v1/check"),
    ("gateway", "POST", "/checkout"),
    ("gateway", "POST", "/api/payment"),
    ("gateway", "POST", "/api/refund"),
    ("dns", "PUT", "/ops/records/fraud-api"),
    ("payment", "PATCH", "/ops/settings"),
]


@pytest.mark.parametrize(("service", "method", "path"), WRITES)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"5",
        b'"text"',
        b"[]",
        b"{",
        b'{"customer_id": 1,}',
        b"\xff\xfe",
        b"\x00",
        b"customer_id=1",
    ],
)
def test_a_body_that_is_no_object_is_refused(
    ask: Any, service: str, method: str, path: str, body: bytes
) -> None:
    answer = ask(service, method, path, content=body, headers={"content-type": "application/json"})

    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]


@pytest.mark.parametrize(("service", "method", "path"), WRITES)
def test_a_body_of_a_megabyte_is_a_413(ask: Any, service: str, method: str, path: str) -> None:
    body = b'{"customer_id": 1, "amount": "5", "padding": "' + b"x" * MEGABYTE + b'"}'

    answer = ask(service, method, path, content=body, headers={"content-type": "application/json"})

    assert answer.status_code == 413
    assert answer.json() == {"detail": "the body has more than 65536 bytes"}
    assert answer.headers["x-request-id"]


def test_what_is_refused_is_no_error_in_the_log(ask: Any, whole_shop: Shop) -> None:
    ask("fraud", "POST", "/v1/check", content=b"x" * MEGABYTE)
    ask("fraud", "POST", "/v1/check", content=b"{", headers={"content-type": "application/json"})

    assert '"level": "error"' not in whole_shop["fraud"].log.read_text()
    assert whole_shop["fraud"].metric("http_requests_total", status="413") >= 1


def test_a_megabyte_in_pieces_without_a_length_is_a_413(ask: Any) -> None:
    pieces = (b"x" * 64 * 1024 for _ in range(16))

    answer = ask(
        "payment", "POST", "/api/payment", content=pieces, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 413
    assert answer.json() == {"detail": "the body has more than 65536 bytes"}


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "image/png"]
)
@pytest.mark.parametrize(("service", "method", "path"), WRITES)
def test_another_content_type_is_refused(ask: Any, service: str, method: str, path: str, kind: str) -> None:
    answer = ask(
        service, method, path, content=b'{"customer_id": 1, "amount": "5"}', headers={"content-type": kind}
    )

    assert answer.status_code in (400, 415, 422)
    assert answer.json()["detail"]


# --- paths and queries


@pytest.mark.parametrize(
    "path",
    [
        "/api/customers/{}",
        "/api/accounts/{}/balance",
        "/api/payment-methods/{}",
        "/api/transactions/{}",
    ],
)
@pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", str(2**63), "1%00", "%ff", "1%27%20OR%201=1", "١"])
@pytest.mark.parametrize("door", ["payment", "gateway"])
def test_a_bad_id_in_a_path_is_a_422(ask: Any, door: str, path: str, value: str) -> None:
    answer = ask(door, "GET", path.format(value))

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"][0] == "path"


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "offset=-1",
        "offset=1000001",
        "status=lost",
        "customer_id=0",
        "limit=",
    ],
)
@pytest.mark.parametrize("door", ["payment", "gateway"])
def test_a_bad_query_is_a_422(ask: Any, door: str, query: str) -> None:
    assert_says_where(ask(door, "GET", f"/api/transactions?{query}"), "query", query.partition("=")[0])


@pytest.mark.parametrize("sku", ["Mug", "a_b", "%00", "x" * 65, "1%27%20OR%201=1", "%F0%9F%A6%8A"])
def test_a_bad_article_in_a_path_is_a_422(ask: Any, sku: str) -> None:
    assert_says_where(ask("inventory", "GET", f"/api/inventory/{sku}"), "path", "sku")


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [
        ("payment", "DELETE", "/api/customers/1"),
        ("payment", "GET", "/api/refund"),
        ("gateway", "PUT", "/checkout"),
    ],
)
def test_another_method_is_a_405(ask: Any, service: str, method: str, path: str) -> None:
    assert ask(service, method, path).status_code == 405


# --- settings


@pytest.mark.parametrize(
    ("service", "change"),
    [
        ("payment", {"fraud_policy": "whatever"}),
        ("payment", {"deadline_s": 0}),
        ("payment", {"deadline_s": 31}),
        ("payment", {"deadline_s": "NaN"}),
        ("payment", {"degraded_limit": "-1"}),
        ("payment", {"degraded_limit": "1.005"}),
        ("payment", {"no_such_setting": 1}),
        ("inventory", {"stock_take": True}),
        ("inventory", {"reserve_deadline_s": -1}),
        ("gateway", {"deadline_s": 1000}),
        ("dns", {"anything": 1}),
        ("profile", {"pool_size": 0}),
        ("profile", {"release": SQL}),
    ],
)
def test_a_bad_setting_is_a_422(ask: Any, service: str, change: dict[str, Any]) -> None:
    assert_says_where(ask(service, "PATCH", "/ops/settings", json=change), "body", next(iter(change)))


@pytest.mark.parametrize("actor", ["", "two words", "x" * 65])
def test_a_bad_actor_is_a_422(ask: Any, actor: str) -> None:
    answer = ask("payment", "PATCH", "/ops/settings", json={"breaker": "on"}, headers={"X-Actor": actor})

    assert_says_where(answer, "header", "x-actor")


def test_one_bad_setting_among_good_ones_changes_none(ask: Any, whole_shop: Shop) -> None:
    answer = ask("payment", "PATCH", "/ops/settings", json={"breaker": "on", "deadline_s": 0})

    assert answer.status_code == 422
    settings = whole_shop["payment"].client.get("/ops/settings").json()["settings"]
    assert settings["breaker"] == {**settings["breaker"], "value": "off", "set_by_operator": False}


@pytest.mark.parametrize("mode", ["no-such-mode", SQL, "x" * 5000])
def test_an_unknown_mode_is_a_422_with_the_known_ones(ask: Any, mode: str) -> None:
    answer = ask("payment", "POST", f"/admin/failure-mode/{httpx.URL(f'/{mode}').path.strip('/')}")

    assert answer.status_code == 422
    assert answer.json()["detail"].endswith("known: account_locked, card_range_declined, decline, none")


# --- SQL in strings


@pytest.fixture
def payment(whole_shop: Shop) -> RunningService:
    return whole_shop["payment"]


@pytest.mark.parametrize(
    "text", [SQL, "'; SELECT pg_sleep(10) --", "%s %(x)s :name {}", "Robert'); --", "\\x00", "ﬀ🦊"]
)
def test_sql_in_a_name_is_kept_as_it_was_written(
    payment: RunningService, standing_books: Books, text: str
) -> None:
    answer = payment.client.post("/api/customers", json={"name": text, "email": "a@b.test"})

    assert answer.status_code == 201
    assert payment.client.get(f"/api/customers/{answer.json()['id']}").json()["name"] == text
    assert payment.client.get("/api/customers/1").json()["name"] == "Anvil Bakery Supplies"


def test_sql_in_an_event_is_kept_as_it_was_written(payment: RunningService, standing_books: Books) -> None:
    data = {SQL: [SQL, {"deep": "' OR '1'='1"}]}
    body = {"event_id": "evt-sql", "type": "payment.settled", "data": data}

    assert payment.client.post("/api/webhooks/payment-gateway", json=body).status_code == 200

    kept = standing_books.value("SELECT data FROM payment.webhook_events WHERE event_id = 'evt-sql'")
    assert kept == data


def test_sql_in_an_idempotency_key_is_only_a_key(payment: RunningService, standing_books: Books) -> None:
    customer = standing_books.open_account("100")
    headers = {"Idempotency-Key": "'OR'1'='1';--"}

    answers = [
        payment.client.post("/api/payment", json={"customer_id": customer, "amount": "5"}, headers=headers)
        for _ in range(2)
    ]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()
    assert standing_books.balance(customer) == 95
