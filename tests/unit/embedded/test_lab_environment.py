"""Which setting reaches which process."""

from pathlib import Path

import pytest

from embedded import ROOT
from embedded.environment import (
    role_passwords,
    role_url,
    schedule_environment,
    settings,
    shop_environment,
    traffic_environment,
    user_environment,
)
from embedded.errors import LabError
from services.common.catalog import PROMETHEUS, SERVICES

SECRETS = {
    "EXAM_DATABASE_URL": "postgresql://examiner:secret@db/firedrill",
    "EXAMINER_DB_PASSWORD": "secret",
    "SHOP_DB_PASSWORD": "shop-secret",
    "CANDIDATE_DB_PASSWORD": "c",
    "DATABASE_URL": "postgresql://root:secret@db:5433/postgres",
}
SHOP_URL = "postgresql+psycopg2://shop:s@127.0.0.1:5432/firedrill"


def test_the_real_environment_wins_over_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("SCENARIO=incident-b\nTRAFFIC_RATE=3\n")

    user = user_environment({"SCENARIO": "none"}, root=tmp_path)

    assert user == {"SCENARIO": "none", "TRAFFIC_RATE": "3"}


def test_without_settings_every_service_is_on_its_port_of_the_catalog() -> None:
    lab = settings({})

    assert lab.ports == {s.name: s.port for s in (*SERVICES, PROMETHEUS)}
    assert lab.directory == ROOT / ".lab"


def test_a_relative_lab_dir_is_one_folder_wherever_the_command_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert settings({"LAB_DIR": "other"}).directory == ROOT / "other"


@pytest.mark.parametrize("text", ["http", "-1", "0", "65536", "80 80"])
def test_an_impossible_port_is_named_with_its_variable(text: str) -> None:
    with pytest.raises(LabError, match=r"GATEWAY_PORT=.*is not a port"):
        settings({"GATEWAY_PORT": text})


def test_a_database_url_that_is_no_postgres_is_refused() -> None:
    with pytest.raises(LabError, match="not the URL of a PostgreSQL server"):
        settings({"DATABASE_URL": "sqlite:///profile.db"})


def test_a_role_url_keeps_host_port_and_options_and_quotes_the_password() -> None:
    url = role_url(
        "postgresql+psycopg2://root:x@db:5433/postgres?sslmode=require", role="shop", password="p@ss/word"
    )

    assert url == "postgresql+psycopg2://shop:p%40ss%2Fword@db:5433/firedrill?sslmode=require"


def test_the_shops_environment_opens_no_other_door() -> None:
    shop = shop_environment(settings(SECRETS), database_url=SHOP_URL)

    assert shop["DATABASE_URL"] == SHOP_URL
    assert not {"EXAM_DATABASE_URL", "EXAMINER_DB_PASSWORD", "SHOP_DB_PASSWORD"} & shop.keys()
    assert "secret" not in " ".join(shop.values())


def test_peers_are_found_where_their_ports_say() -> None:
    shop = shop_environment(settings({"PAYMENT_PORT": "9011", "FRAUD_PORT": "9443"}), database_url=SHOP_URL)

    assert shop["PAYMENT_URL"] == "http://127.0.0.1:9011"
    assert shop["FRAUD_URL"] == "http://fraud-api.internal.corp:9443"
    assert (shop["DNS_URL"], shop["DNS_SERVER"]) == ("http://127.0.0.1:8013", "127.0.0.1:5300")


def test_services_ship_to_the_labs_own_telemetry_unless_the_user_says_otherwise() -> None:
    def destinations(**user: str) -> tuple[str, ...]:
        shop = shop_environment(settings({"TELEMETRY_PORT": "9006", **user}), database_url=SHOP_URL)
        return tuple(shop[name] for name in ("SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT", "PRODSENTINEL_URL"))

    own = "http://127.0.0.1:9006"
    assert destinations() == ("http://lab@127.0.0.1:9006/1", own, own)
    assert destinations(SENTRY_DSN="", PRODSENTINEL_URL="https://p.test") == ("", own, "https://p.test")


def test_what_the_user_sets_passes_through() -> None:
    shop = shop_environment(settings({"PROFILE_FAILURE_MODE": "combined"}), database_url=SHOP_URL)
    live = shop_environment(settings({"ENV": "local"}), database_url=SHOP_URL)

    assert (shop["PROFILE_FAILURE_MODE"], shop["ENV"], live["ENV"]) == ("combined", "demo", "local")


def test_the_load_has_a_journal_and_no_database() -> None:
    lab = settings({"LAB_DIR": "/var/lab"})
    shop = shop_environment(lab, database_url=SHOP_URL)

    traffic = traffic_environment(lab, shop=shop)

    assert traffic["TRAFFIC_JOURNAL"] == "/var/lab/traffic/journal.jsonl"
    assert "DATABASE_URL" not in traffic


def test_the_schedule_has_the_examiners_door_beside_the_shops() -> None:
    schedule = schedule_environment(shop={"DATABASE_URL": SHOP_URL}, exam_database_url="exam")

    assert schedule == {"DATABASE_URL": SHOP_URL, "EXAM_DATABASE_URL": "exam"}


def test_bound_to_every_address_peers_still_use_the_loopback() -> None:
    assert settings({"LAB_BIND": "0.0.0.0"}).url("gateway") == "http://127.0.0.1:8010"


def test_only_the_candidates_password_is_known_beforehand() -> None:
    first, second = role_passwords({}), role_passwords({})

    assert first.pop("candidate") == second.pop("candidate") == "candidate"
    assert len({*first.values(), *second.values()}) == 2 * len(first)


@pytest.mark.parametrize(("given", "is_made"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_a_blind_lab_has_an_admin_token_also_when_nobody_set_one(given: str, is_made: bool) -> None:
    shop = shop_environment(settings({"LAB_BLIND": given}), database_url=SHOP_URL)

    assert ("LAB_ADMIN_TOKEN" in shop) == is_made
    assert "LAB_ADMIN_TOKEN" not in traffic_environment(settings({}), shop=shop)


def test_the_users_own_admin_token_is_kept() -> None:
    user = {"LAB_BLIND": "true", "LAB_ADMIN_TOKEN": "mine"}

    assert shop_environment(settings(user), database_url=SHOP_URL)["LAB_ADMIN_TOKEN"] == "mine"
