"""What the DNS service reads from its environment."""

from pathlib import Path

from pydantic import Field

from services.common.catalog import DNS_QUERY_PORT
from services.common.settings import ServiceSettings, mode_alias

SHIPPED_ZONE = Path(__file__).parent / "internal.corp.zone"


class DnsSettings(ServiceSettings):
    """``zone_file`` is the live zone; it is made from the shipped one where it is missing."""

    failure_mode: str = Field(default="none", validation_alias=mode_alias("DNS"))
    zone_file: Path = Path(".lab/dns/internal.corp.zone")
    dns_query_port: int = Field(default=DNS_QUERY_PORT, ge=0, le=65535)
    lab_bind: str = "127.0.0.1"
    fraud_address: str = "127.0.0.1"
    """Where ``fraud-api`` points in the baseline zone: an address, or a host name looked up at the start."""
