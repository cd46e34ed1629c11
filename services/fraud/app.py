"""``fraud-api.internal.corp``: says whether a movement of money looks like fraud."""

from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, ConfigDict, Field

from services.common.app import ServiceParts, create_service
from services.common.ops import trail
from services.common.settings import ServiceSettings

NAME = "fraud"
REJECTED_FROM = Decimal(100_000)

router = APIRouter()


class CheckRequest(BaseModel):
    """A movement of money before it is made."""

    model_config = ConfigDict(extra="forbid")

    customer_id: Annotated[int, Field(ge=1, le=2**63 - 1)]
    kind: Literal["payment", "refund"]
    amount: Annotated[Decimal, Field(gt=0, max_digits=12, decimal_places=2)]


class Verdict(BaseModel):
    """``score`` is from 0 (harmless) to 100."""

    decision: Literal["approve", "reject"]
    score: int


@router.post("/v1/check")
def check(body: CheckRequest) -> Verdict:
    """Score a movement by its amount; the same question always has the same answer."""
    score = min(100, int(100 * body.amount / REJECTED_FROM))
    return Verdict(decision="approve" if score < 100 else "reject", score=score)


def create_app() -> FastAPI:
    """The app; its database keeps only who restarted it."""
    settings = ServiceSettings(failure_mode="none")
    database = trail(settings.database_url, service=NAME)
    return create_service(
        ServiceParts(
            name=NAME,
            settings=settings,
            database=database,
            needs_database=False,
        ),
        router,
    )
