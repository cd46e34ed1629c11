"""The compose file agrees with the catalog, limits and secures every container, and pins every image."""

import re
import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml

from lab.budget import budget, limit_bytes
from services.common.catalog import SERVICES, TRAFFIC_GENERATOR, TRAFFIC_GENERATOR_PORT

PROJECT = Path(__file__).parents[2]
GIB = 1024**3
OWN_IMAGE = "firedrill"
OPTIONAL = {"jaeger", "spotlight"}


def load(file: str) -> dict[str, Any]:
    return dict(yaml.safe_load((PROJECT / file).read_text()))


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(load("docker-compose.yml")["services"])


def test_every_service_of_the_catalog_runs_at_its_port(services: dict[str, Any]) -> None:
    for spec in SERVICES:
        one = services[spec.name]
        assert one["command"] == ["python3", "-m", "services", spec.name]
        assert one["environment"]["PORT"] == spec.port
        published = f"${{LAB_BIND:-127.0.0.1}}:${{{spec.port_variable}:-{spec.port}}}:{spec.port}"
        assert published in one["ports"]


def test_a_service_reaches_the_database_in_its_own_role_only(services: dict[str, Any]) -> None:
    for spec in SERVICES:
        url = services[spec.name]["environment"].get("DATABASE_URL")
        assert url is None or url.startswith(f"postgresql://{spec.role}:")
        assert url is not None or not spec.database


def test_prometheus_scrapes_every_service_where_it_listens() -> None:
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"]
        for job in load("monitoring/prometheus/prometheus.yml")["scrape_configs"]
    }
    for spec in SERVICES:
        assert jobs[spec.name] == [f"{spec.name}:{spec.port}"]
    assert jobs[TRAFFIC_GENERATOR] == [f"{TRAFFIC_GENERATOR}:{TRAFFIC_GENERATOR_PORT}"]


def test_every_image_but_our_own_has_a_fixed_version(services: dict[str, Any]) -> None:
    images = {one["image"] for one in services.values()} - {OWN_IMAGE}
    assert all(re.search(r":v?\d+\.\d+", image) for image in images), images


def test_every_container_is_limited_logged_and_shut_up_tight(services: dict[str, Any]) -> None:
    for name, one in services.items():
        assert limit_bytes(one) > 0, name
        assert one["deploy"]["resources"]["limits"]["cpus"], name
        assert one["read_only"], name
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        assert one["logging"]["options"] == {"max-size": "10m", "max-file": "3"}, name
        assert one["restart"] == ("no" if name == "database" else "unless-stopped"), name


def test_the_limits_together_stay_under_three_gib() -> None:
    assert budget(load("docker-compose.yml")).memory_bytes < 3 * GIB


def test_only_optional_services_have_a_profile(services: dict[str, Any]) -> None:
    assert {name for name, one in services.items() if one.get("profiles")} == OPTIONAL


def test_grafana_shows_everybody_and_lets_its_admin_log_in(services: dict[str, Any]) -> None:
    told = services["grafana"]["environment"]
    assert told["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert "GF_AUTH_DISABLE_LOGIN_FORM" not in told


def test_only_the_proxy_sees_the_engines_socket(services: dict[str, Any]) -> None:
    assert [n for n, one in services.items() if "docker.sock" in str(one.get("volumes"))] == ["socket-proxy"]


def test_whoever_reads_the_logs_sees_neither_the_schedules_nor_the_exams(services: dict[str, Any]) -> None:
    assert "label=firedrill.logs=shown" in services["dozzle"]["environment"]["DOZZLE_FILTER"].split(",")
    hidden = {name for name, one in services.items() if one["labels"]["firedrill.logs"] != "shown"}
    assert hidden == {"schedule", "exam"}


def test_every_chaos_file_breaks_what_its_scenario_breaks() -> None:
    for file in sorted((PROJECT / "chaos").glob("*.yml")):
        faults = load(f"scenarios/{file.stem}.yaml")["faults"]
        broken = load(f"chaos/{file.name}")["services"]
        assert broken.pop("schedule") == {"environment": {"SCENARIO": "none"}}
        [(service, change)] = broken.items()
        [(variable, mode)] = change["environment"].items()
        assert variable == f"{service.upper()}_FAILURE_MODE"
        assert (service, mode) in [(fault["service"], fault["mode"]) for fault in faults]


def test_the_schedule_has_ended_what_it_holds_before_a_chaos_file_breaks_anything() -> None:
    """Recreated at the same time, it would find its own fault left, and take this one back with it."""
    for file in sorted((PROJECT / "chaos").glob("*.yml")):
        broken = load(f"chaos/{file.name}")["services"]
        broken.pop("schedule")
        assert [change["depends_on"] for change in broken.values()] == [["schedule"]]


def test_the_image_holds_the_versions_that_are_tested() -> None:
    def pins(file: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._-]+==\S+)", (PROJECT / file).read_text(), re.MULTILINE))

    assert pins("requirements-image.lock") < pins("requirements.lock")


def test_the_swarm_files_are_up_to_date() -> None:
    swarm = runpy.run_path(str(PROJECT / "deploy" / "swarm.py"))
    assert (PROJECT / "deploy/swarm.yml").read_text() == swarm["stack"]()
    assert (PROJECT / "deploy/prometheus.yml").read_text() == swarm["prometheus"]()


def test_in_swarm_what_has_data_stays_where_its_volume_is() -> None:
    stack = load("deploy/swarm.yml")["services"]
    placed = {name for name, one in stack.items() if "placement" in one["deploy"]}
    assert placed == {"postgres", "prometheus", "alertmanager", "grafana"}
    assert all(
        stack[name]["deploy"]["placement"]["constraints"] == ["node.role == manager"] for name in placed
    )


def test_in_swarm_every_replica_is_found_by_dns() -> None:
    replicas = {name: one["deploy"]["replicas"] for name, one in load("deploy/swarm.yml")["services"].items()}
    assert {name for name, count in replicas.items() if count == 3} == {
        "gateway",
        "profile",
        "payment",
        "alert-ingestion",
    }
    names = {
        job["dns_sd_configs"][0]["names"][0]
        for job in load("deploy/prometheus.yml")["scrape_configs"]
        if "dns_sd_configs" in job
    }
    assert {f"tasks.{spec.name}" for spec in SERVICES} <= names
