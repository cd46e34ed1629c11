"""Per-request triggers: one request asks for one failure, through W3C baggage.

They serve demos and tools, and are honoured only with ``ENV=demo``.
"""

from opentelemetry import baggage, context

from services.common.settings import ServiceSettings

ENTRY = "firedrill.trigger"
ORDER_FAIL_PAY = "order-fail-pay"
ORDER_TIMEOUT = "order-timeout"


def attach(trigger: str) -> None:
    """Let the rest of this request, and what it calls, carry the trigger."""
    context.attach(baggage.set_baggage(ENTRY, trigger))


def current(settings: ServiceSettings) -> str | None:
    """The trigger of this request, if it has one that may be honoured."""
    if settings.env != "demo":
        return None
    found = baggage.get_baggage(ENTRY)
    return found if isinstance(found, str) else None
