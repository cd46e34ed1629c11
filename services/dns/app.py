"""The lab's DNS: authoritative for ``internal.corp``, with an operator's way to put a record back."""

import socket
from ipaddress import IPv4Address
from typing import Annotated

import structlog
from fastapi import APIRouter, FastAPI, Path, Request
from pydantic import BaseModel, ConfigDict, Field

from services.common.app import ServiceParts, create_service
from services.common.errors import NotFound, responses
from services.common.fields import OperatorName
from services.common.ops import trail
from services.dns import failure_modes, server
from services.dns.failure_modes import record_missing
from services.dns.settings import SHIPPED_ZONE, DnsSettings
from services.dns.zone import ORIGIN, LiveZone

log = structlog.get_logger()

NAME = "dns"

RecordName = Annotated[str, Path(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$", examples=["fraud-api"])]

router = APIRouter(prefix="/ops/records")


class AddressRecord(BaseModel):
    """The address of a name, and for how many seconds it may be remembered."""

    model_config = ConfigDict(extra="forbid")

    address: IPv4Address
    ttl_s: int = Field(default=5, ge=0, le=86400)


class NamedRecord(BaseModel):
    """A name with its addresses."""

    name: str
    addresses: list[str]


@router.get("/{name}", responses=responses(404, 503))
def read_record(name: RecordName, request: Request) -> NamedRecord:
    """The addresses that the zone has for a name."""
    addresses = _zone(request).find(name, "A")
    if not addresses:
        raise NotFound(f"no address record {name}.{ORIGIN.to_text(omit_final_dot=True)}")
    return NamedRecord(name=name, addresses=addresses)


@router.put("/{name}", responses=responses(503))
def put_record(
    name: RecordName,
    record: AddressRecord,
    request: Request,
    x_actor: OperatorName = "operator",
) -> NamedRecord:
    """Put an address record into the zone, in the place of the name's other ones."""
    zone = _zone(request)
    request.app.state.operator.audit(
        f"record {name}", old=zone.find(name, "A"), new=[str(record.address)], actor=x_actor
    )
    zone.put(name, "A", str(record.address), ttl_s=record.ttl_s)
    log.info("record.put", actor=x_actor, name=name, address=str(record.address))
    return NamedRecord(name=name, addresses=zone.find(name, "A"))


def _zone(request: Request) -> LiveZone:
    zone: LiveZone = request.app.state.parts.world
    return zone


def create_app() -> FastAPI:
    """The app, with the DNS server inside."""
    settings = DnsSettings()
    fraud = socket.gethostbyname(settings.fraud_address)
    zone = LiveZone(settings.zone_file, shipped=SHIPPED_ZONE, addresses={record_missing.RECORD: fraud})
    database = trail(settings.database_url, service=NAME)
    return create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            needs_database=False,
            failure_modes=failure_modes,
            world=zone,
            restore=zone.restore,
            running=(lambda: server.serving(zone, host=settings.lab_bind, port=settings.dns_query_port),),
        ),
        router,
    )
