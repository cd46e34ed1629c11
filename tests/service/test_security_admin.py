"""The admin routes and the secrets, tried out over real HTTP against real services."""

import http.client
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.common.admin import BURST
from services.common.catalog import SERVICES
from tests.conftest import LabDatabase, RunningService, Shop, _shop

TOKEN = "a-token-of-this-test"
SECRETS = {
    "LAB_ADMIN_TOKEN": TOKEN,
    "WEBHOOK_SECRET": "a-secret-for-signing",
    "WEBHOOK_URL": "http://127.0.0.1:9/hook",
    "NOTIFY_URLS": "json://user:a-password-of-a-chat@127.0.0.1:9/",
    "SENTRY_DSN": "http://a-key-of-sentry@127.0.0.1:9/1",
}
DATABASE_PASSWORD = "a-password-of-the-database"
HIDDEN = (TOKEN, "a-secret-for-signing", "a-password-of-a-chat", "a-key-of-sentry", DATABASE_PASSWORD)


@pytest.fixture(scope="module")
def profile(
    tmp_path_factory: pytest.TempPathFactory, standing_database: LabDatabase
) -> Iterator[RunningService]:
    """A profile service that asks for a token and honours nothing else."""
    with _shop(tmp_path_factory.mktemp("guarded"), standing_database) as shop:
        yield shop.start("profile", LAB_ADMIN_TOKEN=TOKEN)


def raw(service: RunningService, method: str, target: str, headers: dict[str, str] | None = None) -> int:
    """The status of a request whose target goes over the wire as it stands here."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.putrequest(method, target, skip_host=True)
    for name, value in {
        "host": f"127.0.0.1:{service.port}",
        "content-length": "0",
        **(headers or {}),
    }.items():
        connection.putheader(name, value)
    connection.endheaders()
    status = connection.getresponse().status
    connection.close()
    return status


def mode_of(service: RunningService) -> object:
    answer = service.client.get("/admin/failure-mode", headers={"authorization": f"Bearer {TOKEN}"})
    return answer.json()["failure_mode"]


@pytest.mark.parametrize(
    "target",
    [
        "/admin/failure-mode/combined",
        "//admin/failure-mode/combined",
        "/admin//failure-mode/combined",
        "/./admin/failure-mode/combined",
        "/health/../admin/failure-mode/combined",
        "/health/..%2fadmin/failure-mode/combined",
        "/%61dmin/failure-mode/combined",
        "/admin%2ffailure-mode%2fcombined",
        "/ADMIN/failure-mode/combined",
        "/admin/failure-mode/combined/",
        "/admin/failure-mode/combined;/health",
        "/admin/failure-mode/combined%00",
        "/admin/failure-mode/combined?resume=true",
        "/admin/failure-mode/combined#/health",
        "http://127.0.0.1/admin/failure-mode/combined",
        "/admin/baseline",
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "HEAD", "QUERY"])
def test_no_way_of_writing_the_path_goes_past_the_token(
    profile: RunningService, method: str, target: str
) -> None:
    status = raw(profile, method, target)

    assert 300 <= status < 500
    assert mode_of(profile) == "none"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/admin/failure-mode/combined", {"authorization": ""}),
        ("/admin/failure-mode/combined", {"authorization": "Bearer"}),
        ("/admin/failure-mode/combined", {"authorization": "Bearer null"}),
        ("/admin/failure-mode/combined", {"authorization": f"Basic {TOKEN}"}),
        ("/admin/failure-mode/combined", {"authorization": f"Bearer {TOKEN[:-1]}"}),
        ("/admin/failure-mode/combined", {"authorization": f"Bearer {TOKEN.upper()}"}),
        ("/admin/failure-mode/combined", {"x-authorization": f"Bearer {TOKEN}"}),
        ("/admin/failure-mode/combined", {"cookie": f"authorization=Bearer {TOKEN}"}),
        (f"/admin/failure-mode/combined?token={TOKEN}", {}),
        ("/admin/failure-mode/combined", {"x-forwarded-for": "127.0.0.1", "x-real-ip": "127.0.0.1"}),
        ("/health", {"x-original-url": "/admin/failure-mode/combined"}),
        ("/health", {"x-rewrite-url": "/admin/failure-mode/combined"}),
        ("/ops/settings", {"x-http-method-override": "POST"}),
        ("/admin/failure-mode", {"x-http-method-override": "POST"}),
        ("/admin/failure-mode/combined", {"origin": "http://127.0.0.1:8080"}),
    ],
)
def test_no_header_stands_in_for_the_token(
    profile: RunningService, target: str, headers: dict[str, str]
) -> None:
    status = raw(profile, "POST", target, headers)

    assert status in (403, 405, 429)
    assert mode_of(profile) == "none"


def test_guessing_is_answered_429_whatever_address_a_header_claims(shop: Shop) -> None:
    fraud = shop.start("fraud", LAB_ADMIN_TOKEN=TOKEN)

    answers = [
        fraud.client.post(
            "/admin/baseline",
            headers={"authorization": f"Bearer guess-{n}", "x-forwarded-for": f"192.0.2.{n}"},
        )
        for n in range(BURST + 5)
    ]

    assert [answer.status_code for answer in answers] == [403] * BURST + [429] * 5
    assert answers[-1].headers["retry-after"] == "6"
    assert "guess-1" not in fraud.log.read_text()
    assert fraud.log.read_text().count("token.refused") == BURST


def test_an_empty_token_is_none(shop: Shop) -> None:
    fraud = shop.start("fraud", LAB_ADMIN_TOKEN="")

    assert fraud.client.get("/admin/failure-mode").status_code == 200


@pytest.mark.parametrize("name", [spec.name for spec in SERVICES])
def test_a_blind_service_without_a_token_tells_nobody_its_mode(shop: Shop, name: str) -> None:
    service = shop.start(name, LAB_BLIND="true")

    answer = service.client.get("/admin/failure-mode")

    assert answer.status_code == 403
    assert "mode" not in answer.text


def test_no_secret_is_in_a_log_a_metric_or_an_answer(
    shop: Shop, lab_database: LabDatabase, tmp_path: Path, eventually: Callable[..., None]
) -> None:
    roles = {spec.role for spec in SERVICES}
    for role in roles:
        with lab_database.connect("postgres").cursor() as cursor:
            cursor.execute(f"ALTER ROLE {role} PASSWORD '{DATABASE_PASSWORD}'")
    try:
        seen = "".join(_answers_to_trouble(shop, lab_database, tmp_path))
    finally:
        for role in roles:
            with lab_database.connect("postgres").cursor() as cursor:
                cursor.execute(f"ALTER ROLE {role} PASSWORD '{role}' LOGIN")
    logs = "".join(file.read_text() for file in tmp_path.glob("*.log"))

    assert "request.finished" in logs
    assert not [secret for secret in HIDDEN if secret in seen + logs]


def _answers_to_trouble(shop: Shop, lab_database: LabDatabase, tmp_path: Path) -> Iterator[str]:
    for spec in SERVICES:
        url = lab_database.url(spec.role).replace(
            f"{spec.role}:{spec.role}@", f"{spec.role}:{DATABASE_PASSWORD}@"
        )
        shop.launch(spec.name, {**SECRETS, "DATABASE_URL": url})
    for spec in SERVICES:
        shop[spec.name].wait_until_healthy()
    notice = {"incident_id": "1", "channel": "webhook", "recipient": "ada", "message": "trouble"}
    yield shop["notification-service"].client.post("/api/v1/notify", json=notice).text
    with lab_database.connect("postgres").cursor() as cursor:
        cursor.execute("ALTER ROLE shop NOLOGIN")
        cursor.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'shop'")
    for spec in SERVICES:
        client = shop[spec.name].client
        for path in ("/health", "/metrics", "/ops/settings", "/openapi.json"):
            yield client.get(path).text
        for offered in (TOKEN, f"{TOKEN}x"):
            headers = {"authorization": f"Bearer {offered}"}
            yield client.get("/admin/failure-mode", headers=headers).text
            yield client.post("/admin/failure-mode/no-such-mode", headers=headers).text
    yield shop["gateway"].client.post("/checkout/order-fail-pay").text
    yield shop["profile"].client.get("/api/users/profile/1").text
