"""The compose lab on a real engine: healthy, within its budget, shut up tight, breaks when it is told to."""

import json
from typing import Any

import httpx
import pytest

from tests.compose.engine import MIB, ComposeLab, catalog_services, docker, wait_for

STEADY_MIB = 1600
PROBES = 12


@pytest.fixture(scope="module")
def details(lab: ComposeLab) -> dict[str, Any]:
    """What the engine knows of each container, by service."""
    ids = lab.compose("ps", "-aq").split()
    known = json.loads(docker("inspect", *ids))
    return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in known}


def test_every_container_is_healthy(lab: ComposeLab, details: dict[str, Any]) -> None:
    states = {name: one["State"].get("Health", {}).get("Status") for name, one in details.items()}
    job = details["database"]["State"]
    assert (states.pop("database"), job["Status"], job["ExitCode"]) == (None, "exited", 0)
    assert set(states.values()) == {"healthy"}, states
    assert {*states, *lab.left_out} >= set(catalog_services())


def test_prometheus_scrapes_every_target(lab: ComposeLab) -> None:
    def all_up() -> bool:
        targets = lab.get("prometheus", "/api/v1/targets")["data"]["activeTargets"]
        return {target["health"] for target in targets} == {"up"}

    wait_for(all_up, within_s=20, what="every target is up")


def test_the_quiet_lab_stays_within_its_memory(lab: ComposeLab) -> None:
    used = lab.memory_mib()
    limits = {
        name: int(service["deploy"]["resources"]["limits"]["memory"]) / MIB
        for name, service in lab.services().items()
    }
    lines = [f"{name:22} {mib:6.0f} of {limits[name]:4.0f} MiB" for name, mib in sorted(used.items())]
    print("\n" + "\n".join(lines) + f"\n{'in all':22} {sum(used.values()):6.0f} MiB")

    # What is left out counts with half its limit.
    assert sum(used.values()) + sum(limits[name] / 2 for name in lab.left_out) < STEADY_MIB
    assert not {name: mib for name, mib in used.items() if mib > 0.95 * limits[name]}


def test_containers_have_no_rights_that_they_do_not_need(details: dict[str, Any]) -> None:
    for name, one in details.items():
        host = one["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert host["Memory"] > 0, name
        assert host["LogConfig"]["Config"] == {"max-file": "3", "max-size": "10m"}, name
        assert not host["Privileged"], name


def test_no_process_of_ours_is_root(lab: ComposeLab, details: dict[str, Any]) -> None:
    users = {name: lab.compose("exec", "-T", name, "id", "-u").strip() for name in catalog_services()}
    assert set(users.values()) == {"10001"}


def test_ports_are_on_this_machine_only(details: dict[str, Any]) -> None:
    bound = [
        binding["HostIp"]
        for one in details.values()
        for bindings in (one["HostConfig"]["PortBindings"] or {}).values()
        for binding in bindings
    ]
    assert set(bound) == {"127.0.0.1"}


def test_the_image_holds_no_secret(lab: ComposeLab) -> None:
    image = json.loads(docker("image", "inspect", "firedrill"))[0]
    secrets = {value for name, value in lab.environment.items() if "PASSWORD" in name}
    assert not [entry for entry in image["Config"]["Env"] if entry.partition("=")[2] in secrets]
    history = docker("history", "--no-trunc", "firedrill")
    assert "PASSWORD" not in history
    held = docker("run", "--rm", "--entrypoint", "find", "firedrill", "/lab", "-name", ".env*")
    assert not held


def test_the_candidate_gets_into_postgres_and_not_to_the_truth(lab: ComposeLab) -> None:
    psycopg2 = pytest.importorskip("psycopg2")
    password = lab.environment["CANDIDATE_DB_PASSWORD"]
    url = f"postgresql://candidate:{password}@127.0.0.1:{lab.port('POSTGRES_PORT')}/firedrill"
    connection = psycopg2.connect(url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM profile.users")
            assert cursor.fetchone() == (1000,)
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("SELECT * FROM exam.phases")
    finally:
        connection.close()


def statuses(lab: ComposeLab, method: str, path: str, bodies: list[dict[str, Any]]) -> list[int]:
    """What the gateway answers to each of these requests."""
    with httpx.Client(base_url=lab.url("gateway"), timeout=10, trust_env=False) as client:
        return [
            client.request(method, path.format(number=number), json=body or None).status_code
            for number, body in enumerate(bodies)
        ]


def profiles(lab: ComposeLab) -> list[int]:
    return statuses(lab, "GET", "/api/users/profile/{number}1", [{}] * PROBES)


def big_payments(lab: ComposeLab) -> list[int]:
    bodies = [{"customer_id": 2 + number, "amount": "10.00"} for number in range(PROBES)]
    return statuses(lab, "POST", "/api/payment", bodies)


def orders(lab: ComposeLab) -> list[int]:
    items = [{"sku": "mug-blue", "quantity": 1}]
    return statuses(lab, "POST", "/api/payment", [{"customer_id": 2, "amount": "1.00", "items": items}] * 3)


@pytest.mark.parametrize(
    ("scenario", "service", "ask", "symptom"),
    [
        ("incident-b", "profile", profiles, 500),
        ("payment-dns", "dns", big_payments, 503),
        ("inventory-timeout", "inventory", orders, 504),
    ],
)
def test_a_chaos_file_brings_its_symptom_and_a_plain_up_takes_it_away(
    lab: ComposeLab, scenario: str, service: str, ask: Any, symptom: int
) -> None:
    lab.up(service, "schedule", files=[f"chaos/{scenario}.yml"])
    _comes_and_goes(lab, ask, symptom)


def test_a_mode_in_the_environment_brings_its_symptom_and_a_plain_up_takes_it_away(lab: ComposeLab) -> None:
    lab.up("profile", PROFILE_FAILURE_MODE="combined")
    _comes_and_goes(lab, profiles, 500)


def _comes_and_goes(lab: ComposeLab, ask: Any, symptom: int) -> None:
    wait_for(lambda: symptom in ask(lab), within_s=40, what=f"{symptom} is answered")

    lab.up()

    wait_for(lambda: max(ask(lab)) < 500, within_s=40, what="it is over")


def test_a_mode_in_the_environment_breaks_one_service_and_a_restart_mends_nothing(lab: ComposeLab) -> None:
    lab.up("dns", DNS_FAILURE_MODE="record_missing")
    assert lab.get("dns", "/admin/failure-mode")["failure_mode"] == "record_missing"
    address = f"{lab.subnet}.10"
    httpx.put(f"{lab.url('dns')}/ops/records/fraud-api", json={"address": address}, trust_env=False)

    lab.compose("restart", "dns")

    wait_for(
        lambda: lab.get("dns", "/ops/records/fraud-api")["addresses"] == [address],
        within_s=30,
        what="the record that a person has put back is still there",
    )
    assert lab.get("dns", "/admin/failure-mode")["failure_mode"] == "record_missing"
    lab.up()
