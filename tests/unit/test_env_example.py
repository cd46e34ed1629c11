"""`.env.example` names every variable once, at its default; compose hands on what a service reads."""

import importlib
import importlib.util
import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from dotenv import dotenv_values
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_HEADERS
from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

import database
from embedded.environment import PORT_VARIABLES
from embedded.monitoring.settings import MonitoringSettings
from lab.tools.seat import CandidateSettings
from scenarios.settings import ScheduleSettings
from services.common.catalog import SERVICES, TRAFFIC_GENERATOR_PORT
from services.common.settings import ServiceSettings

PROJECT = Path(__file__).parents[2]
TRAFFIC = {"TRAFFIC_SEED": "1", "TRAFFIC_RATE": "8", "TRAFFIC_JOURNAL": ""}
DIFFERS = frozenset({"DATABASE_URL", "DEMO_SCENARIO", "ENV", "MAX_BODY_BYTES", "PROMETHEUS_PUBLIC_URL"})
"""Variables whose default is not the same everywhere."""
READ_BY_AN_SDK = frozenset({OTEL_EXPORTER_OTLP_HEADERS})
WITHOUT_DOCKER = "The lab without Docker only"
_LINE = re.compile(r"^(?:# )?([A-Z][A-Z0-9_]+)=(.*)$", re.MULTILINE)
_INTERPOLATED = re.compile(r"\$\{([A-Z0-9_]+)(?::?([-?])([^}]*))?\}")


def settings_classes(package: str) -> list[type[BaseSettings]]:
    """The settings that a service reads from its environment."""
    name = f"services.{package}.settings"
    if importlib.util.find_spec(name) is None:
        return [ServiceSettings]
    module = importlib.import_module(name)
    return [
        one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, BaseSettings) and one.__module__ == name
    ]


def variables(settings: type[BaseSettings]) -> dict[str, object]:
    """The default of each environment variable that a settings class reads."""
    return {name: one.default for field, one in settings.model_fields.items() for name in _names(field, one)}


def _names(field: str, info: FieldInfo) -> list[str]:
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices]
    return [str(alias or field.upper())]


def written(value: object) -> str:
    """A default as it is written in the file."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).removeprefix(f"{PROJECT}/")


@pytest.fixture(scope="module")
def example() -> dict[str, str]:
    found = _LINE.findall((PROJECT / ".env.example").read_text())
    twice = [name for name, count in Counter(name for name, _ in found).items() if count > 1]
    assert not twice
    return dict(found)


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((PROJECT / "docker-compose.yml").read_text()))


def read_somewhere() -> dict[str, object]:
    """Every variable that a settings class or the embedded lab reads, with its default."""
    classes = [ScheduleSettings, MonitoringSettings, CandidateSettings]
    classes += [one for service in SERVICES for one in settings_classes(service.package)]
    found = {name: default for one in classes for name, default in variables(one).items()}
    ports = dict.fromkeys(PORT_VARIABLES, None) | {s.port_variable: s.port for s in SERVICES}
    passwords = {f"{role.upper()}_DB_PASSWORD": role for role in database.ROLES}
    # What a service does not read of another one, the lab's own commands do.
    urls = {f"{s.variable_prefix}_URL": f"http://127.0.0.1:{s.port}" for s in SERVICES}
    urls["TRAFFIC_GENERATOR_URL"] = f"http://127.0.0.1:{TRAFFIC_GENERATOR_PORT}"
    urls["FRAUD_DIRECT_URL"] = urls["FRAUD_URL"]
    return {**ports, **urls, **found, **TRAFFIC, **passwords, "LAB_DIR": ".lab"}


def used_by_compose() -> dict[str, str | None]:
    """Every variable that the compose file asks for, with its default if it has one."""
    text = (PROJECT / "docker-compose.yml").read_text()
    return {name: default if kind == "-" else None for name, kind, default in _INTERPOLATED.findall(text)}


def test_every_variable_is_in_the_example_and_every_one_there_is_read(example: dict[str, str]) -> None:
    own_to_compose = {"COMPOSE_PROJECT_NAME"}
    assert set(example) == {*read_somewhere(), *used_by_compose(), *READ_BY_AN_SDK} - own_to_compose


def test_the_example_shows_the_defaults_of_the_settings(example: dict[str, str]) -> None:
    defaults = {name: written(value) for name, value in read_somewhere().items() if value is not None}
    shown = {name: example[name] for name in defaults}
    assert {n: v for n, v in shown.items() if n not in DIFFERS} == {
        n: v for n, v in defaults.items() if n not in DIFFERS
    }


def test_the_example_shows_the_defaults_of_the_compose_file(example: dict[str, str]) -> None:
    own = frozenset({"SENTRY_DSN", "OTEL_EXPORTER_OTLP_ENDPOINT", "PRODSENTINEL_URL", "TRAFFIC_JOURNAL"})
    defaults = {
        name: value
        for name, value in used_by_compose().items()
        if value is not None and name not in own and name != "COMPOSE_PROJECT_NAME"
    }
    assert {name: example[name] for name in defaults} == defaults


def test_compose_hands_every_variable_on_to_the_service_that_reads_it(compose: dict[str, Any]) -> None:
    text = (PROJECT / ".env.example").read_text()
    wired = dict(_LINE.findall(text[text.index(WITHOUT_DOCKER) :]))
    missing = {
        f"{service.name}: {name}"
        for service in SERVICES
        for one in settings_classes(service.package)
        for name in {*variables(one), *READ_BY_AN_SDK}
        if name not in compose["services"][service.name]["environment"]
        and name not in wired
        # Fraud has no modes; ports and addresses are the compose file's own.
        and name not in ("FAILURE_MODE", "LAB_BIND", "DNS_QUERY_PORT")
    }
    assert not missing


def test_a_value_in_single_quotes_is_to_a_shell_what_it_is_to_the_lab(tmp_path: Path) -> None:
    urls = "mailtos://ana:x@mail.test?to=b@mail.test&name=$HOME slack://one/two#three"
    example = (PROJECT / ".env.example").read_text()
    file = tmp_path / ".env"
    file.write_text(example.replace("# NOTIFY_URLS=", f"NOTIFY_URLS='{urls}'"))

    sourced = subprocess.run(
        ["sh", "-ec", "set -a; . ./.env; env -0"], cwd=tmp_path, check=True, capture_output=True, text=True
    ).stdout
    to_a_shell = dict(line.split("=", 1) for line in sourced.split("\0") if line)

    values = dotenv_values(file)
    assert values["NOTIFY_URLS"] == urls
    assert {name: to_a_shell.get(name) for name in values} == values


def test_a_password_has_no_default_in_the_compose_file() -> None:
    assert {name for name, value in used_by_compose().items() if "PASSWORD" in name and value} == set()


def test_make_writes_a_settings_file_whose_secrets_nobody_else_knows(tmp_path: Path) -> None:
    for name in ("Makefile", ".env.example"):
        shutil.copy(PROJECT / name, tmp_path)

    subprocess.run(["make", "-s", ".env"], cwd=tmp_path, check=True)

    example, written = dotenv_values(PROJECT / ".env.example"), dotenv_values(tmp_path / ".env")
    changed = {name for name in written if written[name] != example.get(name)}
    secrets = {name for name in example if name.endswith("_PASSWORD")} - {"CANDIDATE_DB_PASSWORD"}
    assert changed == secrets | {"EXAMINER_TOKEN"}
    assert len({written[name] for name in changed}) == len(changed)
    assert (tmp_path / ".env").stat().st_mode & 0o077 == 0
