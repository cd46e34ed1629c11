"""What the receiver was told, and what it is still to be told, in a file that outlives this process.

Without it an alert that ends while the monitoring is away would fire for ever
at the receiver, and a message that was not accepted yet would be lost.
"""

import json
import os
from pathlib import Path
from typing import TypedDict

import structlog

from embedded.monitoring.messages import WebhookAlert, WebhookMessage

log = structlog.get_logger()


class Told(TypedDict):
    """One group: the alerts that fired at the last message, and the messages that were not accepted."""

    labels: dict[str, str]
    firing: list[WebhookAlert]
    unsent: list[WebhookMessage]


def read(path: Path) -> list[Told]:
    """What was written last; nothing if there is no such file, or if it cannot be understood."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    try:
        groups: list[Told] = json.loads(text)["groups"]
        return [{"labels": g["labels"], "firing": g["firing"], "unsent": g["unsent"]} for g in groups]
    except (ValueError, KeyError, TypeError) as error:
        log.error("told.not_understood", path=str(path), error=str(error))
        return []


def write(path: Path, groups: list[Told]) -> None:
    """Put it in the place of what was there, all or nothing."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"groups": groups}))
    os.replace(new, path)
