"""Doing what a scenario's steps say on a live lab: a person's mitigations, and what red herrings show."""

import time
from collections.abc import Callable

import psycopg2

from scenarios.access import AccessError, LabAccess
from scenarios.model import RedHerring, Step

DEFAULT_TTL_S = 5
FRAUD = "fraud"


def perform(
    step: Step, lab: LabAccess, *, actor: str = "lab", sleep: Callable[[float], None] = time.sleep
) -> None:
    """Do one step; ``actor`` goes into the trail. Raises ``AccessError``."""
    match step.kind:
        case "ops":
            path, headers = "/ops/settings", {"x-actor": actor}
            lab.send("PATCH", str(step.ops), path, json=step.set, headers=headers)
        case "record":
            _put_record(step, lab, actor=actor)
        case "sql":
            _run(str(step.sql), lab)
        case "deploy":
            lab.send("POST", str(step.deploy), f"/admin/release/{step.release}", admin=True)
        case "report":
            lab.send("POST", str(step.report), "/admin/report", params={"for_s": step.for_s}, admin=True)
        case _:
            sleep(step.wait_s or 0.0)


def show(herring: RedHerring, lab: LabAccess) -> None:
    """Make a red herring visible. Raises ``AccessError``."""
    for step in herring.steps:
        perform(step, lab)


def _put_record(step: Step, lab: LabAccess, *, actor: str) -> None:
    address = lab.fraud_address if step.address == FRAUD else step.address
    ttl_s = DEFAULT_TTL_S if step.ttl_s is None else step.ttl_s
    lab.send(
        "PUT",
        "dns",
        f"/ops/records/{step.record}",
        json={"address": address, "ttl_s": ttl_s},
        headers={"x-actor": actor},
    )


def _run(statement: str, lab: LabAccess) -> None:
    with lab.as_candidate() as session, session.cursor() as cursor:
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            raise AccessError(f"the database refuses a statement: {str(error).strip()}") from error
