"""Where a candidate sits: whose run it is, and the addresses of everything that a candidate may use."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from embedded import ROOT, state
from embedded.environment import Settings, role_passwords, role_url
from embedded.errors import LabError
from embedded.supervision import Standing
from services.common.catalog import DATABASE_NAME

CANDIDATE_FILE = "candidate.json"
"""What ``lab exam start`` leaves in LAB_DIR for a candidate on the same machine."""


class CandidateSettings(BaseSettings):
    """What a candidate's tools read from the environment."""

    model_config = SettingsConfigDict(env_file=ROOT / ".env", extra="ignore")

    firedrill_run: str = ""
    """The id of the run; with its token it says whose exam this is."""
    firedrill_token: SecretStr = SecretStr("")
    """The candidate's token of that run."""
    firedrill_actor: str = Field(default="candidate", pattern=r"^[\x21-\x7e]{1,64}$")
    """Under whose name operator changes, notes and acknowledgements are written down."""
    candidate_database_url: str = ""
    """A URL of the lab's database for the role candidate; empty: the lab's own Postgres on this machine."""


@dataclass(frozen=True)
class Seat:
    """One candidate's place. ``token`` is empty when no run is known: then the exam's tools refuse."""

    run: str
    token: str
    actor: str
    urls: Mapping[str, str]
    """Base URL by service name, ``prometheus`` among them."""
    dns_server: tuple[str, int]
    database_url: str
    """A libpq URL under the role ``candidate``."""

    def url(self, service: str) -> str:
        """The base URL of a service; ``LabError`` for one that there is not, with those that there are."""
        try:
            return self.urls[service]
        except KeyError:
            raise LabError(f"there is no service {service!r}; there are: {', '.join(self.urls)}") from None


def seat(lab: Settings) -> Seat:
    """The place of whoever typed the command: from the environment, from the running lab, from its folder.

    ``LabError`` for settings that are no settings.
    """
    own = _settings()
    run, token = own.firedrill_run, own.firedrill_token.get_secret_value()
    # With a token of their own the candidate may be somebody who must not read the examiner's files.
    left = None if token else left_by_start(lab.directory, run=run)
    if left is not None:
        run, token = left.run, left.token
    return Seat(
        run=run,
        token=token,
        actor=own.firedrill_actor,
        urls=_urls(lab),
        dns_server=(lab.host, lab.dns_query_port),
        database_url=candidate_database_url(lab),
    )


def _settings() -> CandidateSettings:
    try:
        return CandidateSettings()
    except ValidationError as error:
        wrong = [
            f"{str(one['loc'][0]).upper()}={one['input']!r}: 1 to 64 visible signs, without blanks"
            for one in error.errors()
        ]
        raise LabError("; ".join(wrong)) from error


@dataclass(frozen=True)
class Left:
    """What ``lab exam start`` left for a candidate on the same machine."""

    run: str
    token: str
    exam_url: str


def left_by_start(directory: Path, *, run: str = "") -> Left | None:
    """What was left in LAB_DIR, unless it is about another run. ``LabError`` if it cannot be read."""
    file = directory / CANDIDATE_FILE
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        left = Left(str(found["run"]), str(found["token"]), str(found["url"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{file} cannot be read: {error}. Set FIREDRILL_TOKEN instead") from error
    return left if run in ("", left.run) else None


def _urls(lab: Settings) -> dict[str, str]:
    """Where each service is: as the environment says, or of the lab that runs, or at the usual port."""
    running = {one.name: one.url for one in _running(lab) if one.url.startswith("http")}
    return {
        service.name: lab.user.get(f"{service.variable_prefix}_URL")
        or running.get(service.name)
        or lab.url(service.name)
        for service in lab.services
    }


def candidate_database_url(lab: Settings) -> str:
    """A libpq URL of the lab's database under the role ``candidate``, the one that was given if one was.

    ``LabError`` for settings that are no settings.
    """
    return _settings().candidate_database_url or role_url(
        server_url(lab), role="candidate", password=role_passwords(lab.user)["candidate"]
    )


def server_url(lab: Settings) -> str:
    """A libpq URL of the server: of the lab that runs, whatever this shell's ``POSTGRES_PORT`` says."""
    if lab.external_database:
        return lab.external_database.replace("postgresql+psycopg2", "postgresql", 1)
    own = [one.url for one in _running(lab) if one.name == "postgres"]
    return next(iter(own), f"postgresql://{lab.host}:{lab.postgres_port}/{DATABASE_NAME}")


def _running(lab: Settings) -> tuple[Standing, ...]:
    """The parts of the lab of this folder, if it runs: one that has ended leaves its last state behind."""
    running = state.of_runner(lab.directory)
    return running.components if running else ()
