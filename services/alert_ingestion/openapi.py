"""What FastAPI cannot tell by itself of a route that reads its own header and body."""

from typing import Any

from services.alert_ingestion.schemas import AlertIn
from services.common.fields import IDEMPOTENCY_KEY

RECEIVE_ALERT: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same alert sent again is one alert, with the same answer.",
            "schema": {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY.pattern}$"},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": AlertIn.model_json_schema()}},
    },
}
"""Additions to the operation ``POST /api/v1/alerts``."""
