"""The shop's only door: checkout, and the routes of the services behind it."""

import re
import string
from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import quote

from fastapi import APIRouter, FastAPI, Request, Response
from httpx import Response as Answer
from pydantic import BaseModel, ConfigDict, Field

from services.common import deadline, triggers
from services.common.app import ServiceParts, create_service
from services.common.client import Dependency
from services.common.errors import Forbidden, Unprocessable, UpstreamFailed, responses
from services.common.fields import IdempotencyKey
from services.common.ops import OperatorSettings, trail
from services.gateway.settings import GatewayOperatorSettings, GatewaySettings

NAME = "gateway"

PASSED_THROUGH: tuple[tuple[Literal["GET", "POST"], str, str], ...] = (
    ("GET", "/api/users/profile/{user_id}", "profile"),
    ("GET", "/api/customers/{customer_id}", "payment"),
    ("POST", "/api/customers", "payment"),
    ("GET", "/api/accounts/{customer_id}/balance", "payment"),
    ("GET", "/api/payment-methods/{customer_id}", "payment"),
    ("GET", "/api/transactions", "payment"),
    ("GET", "/api/transactions/{transaction_id}", "payment"),
    ("GET", "/api/stats", "payment"),
    ("POST", "/api/webhooks/payment-gateway", "payment"),
    ("POST", "/api/payment", "payment"),
    ("POST", "/api/refund", "payment"),
)
_FORWARDED_REQUEST_HEADERS = ("content-type", "idempotency-key")
_FORWARDED_ANSWER_HEADERS = ("content-type", "x-failure-mode", "retry-after")
_HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")

PAYMENT_FAILED = "the payment failed"
CHECKOUT_ERRORS = responses(402, 403, 404, 409, 500, 503, 504)


class Item(BaseModel):
    """So many of one article."""

    model_config = ConfigDict(extra="forbid")

    sku: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$", examples=["mug-blue"])]
    quantity: Annotated[int, Field(ge=1, le=1000)]


class PaymentPart(BaseModel):
    """How much is paid: a decimal with two places."""

    model_config = ConfigDict(extra="forbid")

    amount: Annotated[Decimal, Field(gt=0, le=1_000_000, max_digits=12, decimal_places=2, examples=["18.50"])]


class CheckoutRequest(BaseModel):
    """An order: who buys what, and pays how much."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    items: Annotated[list[Item], Field(min_length=1, max_length=50)]
    payment: PaymentPart


class CheckoutReceipt(BaseModel):
    """A paid order."""

    order_id: str
    status: Literal["paid"]
    transaction_id: int
    amount: str


DEMO_ORDER = CheckoutRequest(
    customer_id=1, items=[Item(sku="mug-blue", quantity=1)], payment=PaymentPart(amount=Decimal("18.50"))
)

checkout_routes = APIRouter(prefix="/checkout")


@checkout_routes.post("", status_code=201, responses=CHECKOUT_ERRORS)
async def checkout(
    order: CheckoutRequest, request: Request, idempotency_key: IdempotencyKey = None
) -> CheckoutReceipt:
    """Buy something: payment checks, reserves and charges."""
    return await _check_out(order, request, idempotency_key=idempotency_key)


@checkout_routes.post("/success", status_code=201, responses=CHECKOUT_ERRORS)
async def checkout_success(request: Request) -> CheckoutReceipt:
    """A ready-made order that goes well."""
    return await _check_out(DEMO_ORDER, request)


@checkout_routes.post("/order-fail-pay", status_code=201, responses=CHECKOUT_ERRORS)
async def checkout_fail_pay(request: Request) -> CheckoutReceipt:
    """A ready-made order whose payment the acquirer declines (only with ``ENV=demo``)."""
    return await _check_out_with(triggers.ORDER_FAIL_PAY, request)


@checkout_routes.post("/order-timeout", status_code=201, responses=CHECKOUT_ERRORS)
async def checkout_timeout(request: Request) -> CheckoutReceipt:
    """A ready-made order whose reservation hangs (only with ``ENV=demo``)."""
    return await _check_out_with(triggers.ORDER_TIMEOUT, request)


async def _check_out_with(trigger: str, request: Request) -> CheckoutReceipt:
    if request.app.state.parts.settings.env != "demo":
        raise Forbidden("triggers are honoured only with ENV=demo")
    triggers.attach(trigger)
    return await _check_out(DEMO_ORDER, request)


async def _check_out(
    order: CheckoutRequest, request: Request, *, idempotency_key: str | None = None
) -> CheckoutReceipt:
    answer = await _call(
        request,
        "payment",
        "POST",
        "/api/payment",
        json={
            "customer_id": order.customer_id,
            "amount": str(order.payment.amount),
            "items": [item.model_dump() for item in order.items],
        },
        headers={"idempotency-key": idempotency_key} if idempotency_key else None,
    )
    if answer.status_code != 201:
        raise _refusal(answer)
    paid = answer.json()
    return CheckoutReceipt(
        order_id=f"order-{paid['id']}", status="paid", transaction_id=paid["id"], amount=paid["amount"]
    )


def _refusal(answer: Answer) -> UpstreamFailed:
    """Payment's refusal under its own status; what broke there is a 500 here, time-outs too."""
    status = answer.status_code
    kept = status < 500 or status == 503
    return UpstreamFailed(_reason(answer) if kept else PAYMENT_FAILED, status=status if kept else 500)


def _reason(answer: Answer) -> str:
    try:
        body = answer.json()
    except ValueError:
        return PAYMENT_FAILED
    return str(body["detail"]) if isinstance(body, dict) and "detail" in body else PAYMENT_FAILED


def _passed_through() -> APIRouter:
    """A route for each of ``PASSED_THROUGH``: what comes in goes on, and the answer comes back as it is."""
    router = APIRouter()
    declared: dict[int | str, dict[str, Any]] = {
        201: {"description": "Created"},
        **responses(402, 403, 404, 409, 500, 502, 503, 504),
    }

    def add(method: Literal["GET", "POST"], path: str, dependency: str) -> None:
        async def forward(request: Request) -> Response:
            answer = await _call(
                request,
                dependency,
                method,
                _target(request),
                content=await request.body() if method == "POST" else None,
                headers=_forwarded_headers(request),
            )
            kept = {
                name: answer.headers[name] for name in _FORWARDED_ANSWER_HEADERS if name in answer.headers
            }
            return Response(answer.content, answer.status_code, headers=kept)

        router.add_api_route(
            path,
            forward,
            methods=[method],
            name=f"{method} {path}",
            summary=f"Passed on to {dependency}.",
            responses=declared,
        )

    for method, path, dependency in PASSED_THROUGH:
        add(method, path, dependency)
    return router


def _target(request: Request) -> str:
    """Path and query as the client wrote them; only what a URL must not contain is escaped."""
    path = request.scope["raw_path"].partition(b"?")[0]
    query = request.scope["query_string"]
    return quote(path + b"?" + query if query else path, safe=string.punctuation)


def _forwarded_headers(request: Request) -> dict[str, str]:
    kept = {name: request.headers[name] for name in _FORWARDED_REQUEST_HEADERS if name in request.headers}
    for name, value in kept.items():
        if not _HEADER_VALUE.fullmatch(value):
            raise Unprocessable(f"header {name} must be printable ASCII")
    return kept


async def _call(request: Request, dependency: str, method: str, path: str, **sent: Any) -> Answer:
    deadline_s = request.app.state.operator.in_force.deadline_s
    deadline.shorten(deadline_s)
    called: Dependency = request.app.state.dependencies[dependency]
    return await called.call(method, path, at_most_s=deadline_s, **sent)


def create_app() -> FastAPI:
    """The app; its database keeps only what operators set."""
    settings = GatewaySettings()
    database = trail(settings.database_url, service=NAME)
    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            needs_database=False,
            operator=OperatorSettings(NAME, GatewayOperatorSettings(), database=database),
        ),
        checkout_routes,
        _passed_through(),
    )
    app.state.dependencies = {
        "profile": Dependency("profile", settings.profile_url, service=NAME),
        "payment": Dependency("payment", settings.payment_url, service=NAME),
    }
    return app
