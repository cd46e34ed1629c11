"""The inventory service: stock, reservations, releases."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, FastAPI, Path, Request

from services.common import deadline, indexes, triggers
from services.common.app import ServiceParts, create_service
from services.common.database import Database
from services.common.errors import DeadlineExceeded, responses
from services.common.ops import OperatorSettings
from services.inventory import failure_modes
from services.inventory.schemas import Item, ReleaseRequest, Reservation, ReserveRequest, Stock
from services.inventory.settings import InventoryOperatorSettings, InventorySettings
from services.inventory.stock_take import stock_take
from services.inventory.store import InventoryStore
from services.inventory.world import InventoryWorld

NAME = "inventory"
POOL_SIZE = 20
RELEASE_TIMEOUT_S = 5.0
TIMEOUT_SKU = "display-stand"
"""An article that no order asks for, so that the trigger disturbs nobody else."""

router = APIRouter(prefix="/api/inventory")


@router.get("/{sku}", responses=responses(404))
def read_stock(sku: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")], request: Request) -> Stock:
    """One article."""
    return _store(request).find(sku)


@router.post("/reserve", responses=responses(404, 409, 504))
def reserve(body: ReserveRequest, request: Request) -> Reservation:
    """Reserve all items or none. The same reservation id twice reserves once."""
    settings = request.app.state.operator.in_force
    within_s = deadline.remaining_s(at_most=settings.reserve_deadline_s)
    if triggers.current(request.app.state.parts.settings) == triggers.ORDER_TIMEOUT:
        return _reserve_behind_a_lock(_store(request), body, within_s=within_s)
    return _store(request).reserve(body.reservation_id, body.items, within_s=within_s)


@router.post("/release", responses=responses(504))
def release(body: ReleaseRequest, request: Request) -> Reservation:
    """Give a reservation back; safe to repeat, and before the reservation it bars it."""
    within_s = deadline.remaining_s(at_most=RELEASE_TIMEOUT_S)
    return _store(request).release(body.reservation_id, within_s=within_s)


def _store(request: Request) -> InventoryStore:
    store: InventoryStore = request.app.state.parts.world.store
    return store


def _reserve_behind_a_lock(store: InventoryStore, body: ReserveRequest, *, within_s: float) -> Reservation:
    """The trigger ``order-timeout``: another session holds the row that this reservation needs."""
    holder = stock_take(store.database.url, on_ended=lambda: None)
    try:
        holder.start({"skus": [TIMEOUT_SKU]}, wait_s=within_s)
        return store.reserve(body.reservation_id, [Item(sku=TIMEOUT_SKU, quantity=1)], within_s=within_s)
    except TimeoutError as error:
        raise DeadlineExceeded(str(error)) from error
    finally:
        holder.stop()


def create_app() -> FastAPI:
    """The app on Postgres."""
    settings = InventorySettings()
    database = Database(settings.database_url, service=NAME, schema=NAME, pool_size=POOL_SIZE)
    operator = OperatorSettings(NAME, InventoryOperatorSettings(), database=database)
    world = InventoryWorld(InventoryStore(database), operator)
    operator.on_change(world.follow)
    return create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            operator=operator,
            failure_modes=failure_modes,
            world=world,
            restore=partial(indexes.drop_added, database, schema=NAME),
            running=(world.closing,),
        ),
        router,
    )
