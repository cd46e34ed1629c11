"""The lab's DNS server as resolvers and people see it: over UDP and TCP, with a zone that is edited live."""

import random
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.resolver
import pytest

from tests.conftest import RunningService, Shop

NAME = "fraud-api.internal.corp"


@pytest.fixture
def server(shop: Shop) -> RunningService:
    """The DNS service alone."""
    return shop.start("dns")


@pytest.fixture
def zone_file(shop: Shop) -> Path:
    return Path(shop.environment["ZONE_FILE"])


def ask(shop: Shop, name: str = NAME, kind: str = "A", *, over: Any = dns.query.udp) -> dns.message.Message:
    query = dns.message.make_query(name, kind)
    answer: dns.message.Message = over(query, "127.0.0.1", port=shop.dns_port, timeout=3)
    return answer


def addresses(shop: Shop, name: str = NAME) -> list[str]:
    return [rdata.to_text() for rrset in ask(shop, name).answer for rdata in rrset]


def replace_in(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


def log_events(server: RunningService, event: str) -> int:
    return server.log.read_text().count(f'"event": "{event}"')


@pytest.mark.parametrize("over", [dns.query.udp, dns.query.tcp])
def test_it_answers_over_udp_and_tcp_on_one_port(
    shop: Shop, server: RunningService, over: Callable[..., Any]
) -> None:
    found, missing = ask(shop, over=over), ask(shop, "nowhere.internal.corp", over=over)

    assert [rrset.to_text() for rrset in found.answer] == [f"{NAME}. 0 IN A 127.0.0.1"]
    assert missing.rcode() == dns.rcode.NXDOMAIN
    assert missing.authority[0].to_text().startswith("internal.corp. 5 IN SOA ns1.internal.corp. ")


def test_one_tcp_connection_serves_several_questions(shop: Shop, server: RunningService) -> None:
    with socket.create_connection(("127.0.0.1", shop.dns_port), timeout=3) as connection:
        for name in (NAME, "reports.internal.corp", "nowhere.internal.corp"):
            query = dns.message.make_query(name, "A")
            dns.query.send_tcp(connection, query)
            answer, _ = dns.query.receive_tcp(connection)
            assert query.is_response(answer)


def test_a_resolver_follows_it_as_any_other(shop: Shop, server: RunningService) -> None:
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = ["127.0.0.1"], shop.dns_port

    assert [rdata.address for rdata in resolver.resolve("reports.internal.corp.", "A")] == ["127.0.0.1"]
    with pytest.raises(dns.resolver.NXDOMAIN):
        resolver.resolve("nowhere.internal.corp.", "A")
    with pytest.raises(dns.resolver.NoAnswer):
        resolver.resolve(f"{NAME}.", "AAAA")


@pytest.mark.skipif(shutil.which("dig") is None, reason="dig is not installed on this machine")
def test_dig_understands_it(shop: Shop, server: RunningService) -> None:
    def dig(*arguments: str) -> str:
        command = ["dig", "@127.0.0.1", "-p", str(shop.dns_port), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout

    assert dig("+short", NAME) == "127.0.0.1\n"
    assert dig("+short", "+tcp", "reports.internal.corp") == "ledger.internal.corp.\n127.0.0.1\n"
    missing = dig("nowhere.internal.corp")
    assert "status: NXDOMAIN" in missing
    assert "flags: qr aa rd;" in missing
    assert "SOA" in missing


def test_rubbish_does_not_kill_it(shop: Shop, server: RunningService) -> None:
    rng = random.Random(1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for size in range(200):
            udp.sendto(rng.randbytes(size), ("127.0.0.1", shop.dns_port))
    for sent in (b"", b"\x00", b"\x00\x05abc", b"\xff\xff" + rng.randbytes(500), b"\x00\x00" * 50):
        with socket.create_connection(("127.0.0.1", shop.dns_port), timeout=3) as tcp:
            tcp.sendall(sent)

    assert addresses(shop) == ["127.0.0.1"]
    assert ask(shop, over=dns.query.tcp).rcode() == dns.rcode.NOERROR
    assert "Traceback" not in server.log.read_text()


def test_its_answers_are_counted_by_transport_and_code(shop: Shop, server: RunningService) -> None:
    ask(shop)
    ask(shop, "nowhere.internal.corp", over=dns.query.tcp)

    assert server.metric("dns_queries_total", transport="udp", rcode="0") == 1
    assert server.metric("dns_queries_total", transport="tcp", rcode="3") == 1


# --- the zone file


def test_an_edited_zone_file_is_answered_from_at_once(
    shop: Shop, server: RunningService, zone_file: Path
) -> None:
    assert addresses(shop) == ["127.0.0.1"]

    replace_in(zone_file, "fraud-api 0 IN A    127.0.0.1", "fraud-api 0 IN A    127.0.0.9")

    assert addresses(shop) == ["127.0.0.9"]


@pytest.mark.parametrize(
    "broken",
    [
        b"fraud-api IN A not-an-address\n",
        b"",
        b"\xff\xfe\x00",
        b"$ORIGIN internal.corp.\nfraud-api 5 IN A 127.0.0.9\n",
        b"@ 5 IN SOA ns1 hostmaster ( 1 2 3 4\n",
        b"@ 99999999999999999999 IN NS ns1\n",
        b"$INCLUDE /nowhere\n",
    ],
)
def test_a_broken_zone_file_leaves_the_zone_as_it_was_and_is_logged_once(
    shop: Shop, server: RunningService, zone_file: Path, broken: bytes
) -> None:
    addresses(shop)

    zone_file.write_bytes(broken)

    assert [addresses(shop) for _ in range(3)] == [["127.0.0.1"]] * 3
    assert log_events(server, "zone.refused") == 1


def test_a_zone_file_that_was_deleted_leaves_the_zone_as_it_was(
    shop: Shop, server: RunningService, zone_file: Path
) -> None:
    addresses(shop)

    zone_file.unlink()

    assert addresses(shop) == ["127.0.0.1"]


def test_a_zone_file_that_was_broken_and_mended_is_read_again(
    shop: Shop, server: RunningService, zone_file: Path
) -> None:
    addresses(shop)
    whole = zone_file.read_text()
    zone_file.write_text("(")
    addresses(shop)

    zone_file.write_text(whole.replace("fraud-api 0 IN A    127.0.0.1", "fraud-api 0 IN A    127.0.0.9"))

    assert addresses(shop) == ["127.0.0.9"]


def test_a_server_that_starts_with_a_broken_zone_file_serves_failures_until_the_baseline(
    shop: Shop, zone_file: Path
) -> None:
    zone_file.write_text("(")
    server = shop.start("dns")

    assert ask(shop).rcode() == dns.rcode.SERVFAIL
    assert server.client.get("/ops/records/fraud-api").status_code == 503
    assert server.client.put("/ops/records/fraud-api", json={"address": "127.0.0.1"}).status_code == 503
    assert server.client.post("/admin/baseline").status_code == 200
    assert addresses(shop) == ["127.0.0.1"]


# --- the operator's records


def test_a_record_is_put_read_and_served(shop: Shop, server: RunningService) -> None:
    before = ask(shop, "internal.corp", "SOA").answer[0][0].serial

    put = server.client.put("/ops/records/search", json={"address": "10.1.2.3", "ttl_s": 30})

    assert (put.status_code, put.json()) == (200, {"name": "search", "addresses": ["10.1.2.3"]})
    assert server.client.get("/ops/records/search").json() == put.json()
    assert ask(shop, "search.internal.corp").answer[0].to_text() == "search.internal.corp. 30 IN A 10.1.2.3"
    assert addresses(shop) == ["127.0.0.1"]
    assert ask(shop, "internal.corp", "SOA").answer[0][0].serial > before


def test_a_record_put_in_the_place_of_an_alias_replaces_it(shop: Shop, server: RunningService) -> None:
    server.client.put("/ops/records/reports", json={"address": "10.1.2.3"})

    assert addresses(shop, "reports.internal.corp") == ["10.1.2.3"]


def test_a_record_put_over_a_broken_zone_file_makes_it_whole(
    shop: Shop, server: RunningService, zone_file: Path
) -> None:
    addresses(shop)
    zone_file.write_text("(")

    assert server.client.put("/ops/records/fraud-api", json={"address": "127.0.0.9"}).status_code == 200

    assert addresses(shop) == ["127.0.0.9"]
    assert addresses(shop, "ledger.internal.corp") == ["127.0.0.1"]


def test_a_record_that_was_put_outlives_a_restart(shop: Shop, server: RunningService) -> None:
    server.client.put("/ops/records/search", json={"address": "10.1.2.3"})

    shop.restart("dns")

    assert addresses(shop, "search.internal.corp") == ["10.1.2.3"]


def test_records_that_are_put_while_the_baseline_is_restored_are_no_errors(
    server: RunningService, at_once: Callable[..., Any]
) -> None:
    def put(name: str) -> list[tuple[int, list[str]]]:
        answers = [
            server.client.put(f"/ops/records/{name}", json={"address": f"10.1.2.{n}"}) for n in range(20)
        ]
        return [(answer.status_code, answer.json()) for answer in answers]

    def restore() -> list[int]:
        return [server.client.post("/admin/baseline").status_code for _ in range(20)]

    one, other, restored = at_once([lambda: put("search"), lambda: put("mail"), restore])

    assert {status for status, _ in [*one, *other]} == {200}
    assert restored == [200] * 20


def test_who_put_a_record_is_in_the_audit_table(shop: Shop, server: RunningService) -> None:
    server.client.put("/ops/records/fraud-api", json={"address": "127.0.0.9"}, headers={"X-Actor": "kim"})

    with shop.database.connect("candidate") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT actor, name, old_value, new_value FROM ops.setting_changes WHERE service = 'dns'"
        )
        assert cursor.fetchall() == [("kim", "record fraud-api", ["127.0.0.1"], ["127.0.0.9"])]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("fraud-api", {}),
        ("fraud-api", {"address": "127.0.0.256"}),
        ("fraud-api", {"address": "::1"}),
        ("fraud-api", {"address": "127.0.0.1\nevil IN A 1.2.3.4"}),
        ("fraud-api", {"address": 2130706433.5}),
        ("fraud-api", {"address": "127.0.0.1", "ttl_s": -1}),
        ("fraud-api", {"address": "127.0.0.1", "ttl_s": 86401}),
        ("fraud-api", {"address": "127.0.0.1", "port": 1}),
        ("fraud_api", {"address": "127.0.0.1"}),
        ("-fraud", {"address": "127.0.0.1"}),
        ("a.b", {"address": "127.0.0.1"}),
        ("x" * 64, {"address": "127.0.0.1"}),
        ("FRAUD-API", {"address": "127.0.0.1"}),
    ],
)
def test_a_bad_record_is_a_422_and_changes_nothing(
    server: RunningService, zone_file: Path, name: str, body: dict[str, Any]
) -> None:
    before = zone_file.read_bytes()

    answer = server.client.put(f"/ops/records/{name}", json=body)

    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"]
    assert zone_file.read_bytes() == before


def test_an_unknown_record_is_a_404(server: RunningService) -> None:
    answer = server.client.get("/ops/records/nowhere")

    assert (answer.status_code, answer.json()) == (404, {"detail": "no address record nowhere.internal.corp"})
