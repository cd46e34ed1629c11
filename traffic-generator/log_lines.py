"""Log lines of the traffic generator: one JSON object each on standard output, like every service."""

import json
import logging
import sys
from datetime import UTC, datetime

SERVICE = "traffic-generator"
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}


class JsonLines(logging.Formatter):
    """``timestamp`` (ISO 8601 UTC), ``level``, ``event``, ``service``, then the record's extra fields."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "event": record.getMessage(),
            "service": SERVICE,
        }
        line.update({name: value for name, value in vars(record).items() if name not in _OWN_ATTRIBUTES})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def set_up() -> None:
    """Send all records from INFO up to standard output, save Locust's tables of statistics."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # A table of text lines is no JSON line; the summary says the same in one.
    logging.getLogger("locust.stats_logger").setLevel(logging.WARNING)
