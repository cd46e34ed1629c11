"""The payment processor: customers, accounts, payments, refunds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

import structlog
from anyio import to_thread
from fastapi import APIRouter, FastAPI, Path, Query, Request
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from services.common.app import ServiceParts, create_service
from services.common.client import Dependency, InternalNames, new_client
from services.common.database import Database
from services.common.errors import responses
from services.common.fields import IdempotencyKey, Limit, Offset
from services.common.ops import OperatorSettings
from services.payment import failure_modes
from services.payment.accounts import Accounts
from services.payment.ledger import Ledger, Replay
from services.payment.processor import Processor
from services.payment.schemas import (
    MAX_ID,
    Balance,
    Customer,
    NewCustomer,
    PaymentMethod,
    PaymentRequest,
    RefundRequest,
    Stats,
    Transaction,
    TransactionPage,
    WebhookEvent,
    WebhookReceipt,
)
from services.payment.settings import PaymentOperatorSettings, PaymentSettings
from services.payment.world import PaymentWorld

log = structlog.get_logger()

NAME = "payment"
POOL_SIZE = 20

PathId = Annotated[int, Path(ge=1, le=MAX_ID)]
MOVEMENT_ERRORS = responses(402, 403, 404, 409, 503, 504)

router = APIRouter(prefix="/api")


@router.get("/customers/{customer_id}", responses=responses(404))
def read_customer(customer_id: PathId, request: Request) -> Customer:
    """One customer."""
    return _accounts(request).customer(customer_id)


@router.post("/customers", status_code=201)
def add_customer(new: NewCustomer, request: Request) -> Customer:
    """A new customer with an empty account."""
    return _accounts(request).add_customer(new)


@router.get("/accounts/{customer_id}/balance", responses=responses(404))
def read_balance(customer_id: PathId, request: Request) -> Balance:
    """What a customer's account holds."""
    return _accounts(request).balance(customer_id)


@router.get("/payment-methods/{customer_id}", responses=responses(404))
def read_payment_methods(customer_id: PathId, request: Request) -> list[PaymentMethod]:
    """A customer's ways to pay."""
    return _accounts(request).payment_methods(customer_id)


@router.get("/transactions")
def read_transactions(
    request: Request,
    customer_id: Annotated[int | None, Query(ge=1, le=MAX_ID)] = None,
    status: Literal["pending", "captured", "declined", "failed"] | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> TransactionPage:
    """Transactions, newest first, a page at a time."""
    return _accounts(request).transactions(customer_id=customer_id, status=status, limit=limit, offset=offset)


@router.get("/transactions/{transaction_id}", responses=responses(404))
def read_transaction(transaction_id: PathId, request: Request) -> Transaction:
    """One transaction."""
    return _accounts(request).transaction(transaction_id)


@router.get("/stats")
def read_stats(request: Request) -> Stats:
    """How many transactions of late, by what became of them."""
    return _accounts(request).stats()


@router.post("/webhooks/payment-gateway")
def receive_event(event: WebhookEvent, request: Request) -> WebhookReceipt:
    """Take an event of the payment gateway; the same one twice counts once."""
    return _accounts(request).receive(event)


@router.post("/payment", status_code=201, response_model=Transaction, responses=MOVEMENT_ERRORS)
async def pay(
    body: PaymentRequest, request: Request, idempotency_key: IdempotencyKey = None
) -> Transaction | JSONResponse:
    """Take a payment: fraud check, reservation, ledger."""
    return _answer(await _processor(request).pay(body, key=idempotency_key))


@router.post("/refund", status_code=201, response_model=Transaction, responses=MOVEMENT_ERRORS)
async def refund(
    body: RefundRequest, request: Request, idempotency_key: IdempotencyKey = None
) -> Transaction | JSONResponse:
    """Give money back; above 1,000 a fraud check comes first."""
    return _answer(await _processor(request).refund(body, key=idempotency_key))


def _answer(result: Transaction | Replay) -> Transaction | JSONResponse:
    return JSONResponse(result.body, result.status) if isinstance(result, Replay) else result


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.accounts
    return accounts


def _processor(request: Request) -> Processor:
    processor: Processor = request.app.state.processor
    return processor


def _begin_healthy(ledger: Ledger) -> None:
    try:
        ledger.let_all_acquirers_accept()
    except SQLAlchemyError as error:
        log.warning("acquirers.unknown", error=str(error).partition("\n")[0])


def create_app() -> FastAPI:
    """The app on Postgres, with its two dependencies."""
    settings = PaymentSettings()
    database = Database(settings.database_url, service=NAME, schema=NAME, pool_size=POOL_SIZE)
    operator = OperatorSettings(NAME, PaymentOperatorSettings(), database=database)
    ledger = Ledger(database)
    names = InternalNames(settings.dns_server)
    world = PaymentWorld(ledger, database=database, names=names, operator=operator)
    processor = Processor(
        ledger,
        fraud=Dependency("fraud", settings.fraud_url, service=NAME, client=new_client(names=names)),
        inventory=Dependency("inventory", settings.inventory_url, service=NAME),
        operator=operator,
        settings=settings,
    )
    operator.on_change(processor.follow)
    operator.on_change(world.follow)

    @asynccontextmanager
    async def starting() -> AsyncIterator[None]:
        # What the acquirers refuse is in the database, and outlives the process that a fault is put into.
        if not settings.lab_resumes:
            await to_thread.run_sync(_begin_healthy, ledger)
        yield

    app = create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            operator=operator,
            failure_modes=failure_modes,
            world=world,
            restore=world.restore,
            running=(starting, processor.releasing, world.closing),
            report=world.report.run,
        ),
        router,
    )
    app.state.accounts = Accounts(database)
    app.state.processor = processor
    return app
