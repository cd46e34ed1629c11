"""What the gateway reads from its environment, and what an operator may change."""

from pydantic import Field

from services.common.catalog import service
from services.common.ops import OperatorModel
from services.common.settings import ServiceSettings


class GatewaySettings(ServiceSettings):
    """Where the services behind the gateway are."""

    profile_url: str = service("profile").local_url
    payment_url: str = service("payment").local_url
    failure_mode: str = Field(default="none", validation_alias="GATEWAY_FAILURE_MODE")


class GatewayOperatorSettings(OperatorModel):
    """What a person on call may change live on the gateway."""

    deadline_s: float = Field(
        default=5.0, ge=0.1, le=30, description="A request that takes longer is answered 504."
    )
