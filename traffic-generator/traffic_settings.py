"""What the traffic generator reads from its environment."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from deck import DEFAULT_SEED

DEFAULT_RATE_PER_S = 8.0
SHOP_VARIABLES = ("PROFILE_URL", "PAYMENT_URL", "INVENTORY_URL")
TIMEOUT_S = 10.0
"""How long a request waits for its answer."""


class SettingError(SystemExit):
    """An environment variable has a value that cannot be used; ends the process with that message."""


@dataclass(frozen=True)
class TrafficSettings:
    seed: int
    rate_per_s: float
    journal: Path | None
    shop: tuple[str, ...] = ()
    """Base URLs of services behind the gateway, for which the first request waits."""

    @property
    def lanes(self) -> int:
        """Enough for all that arrives in one timeout, and a quarter more."""
        return max(10, math.ceil(self.rate_per_s * TIMEOUT_S * 1.25))


def read_settings(environment: Mapping[str, str]) -> TrafficSettings:
    """``TRAFFIC_SEED``, ``TRAFFIC_RATE`` (requests/s), ``TRAFFIC_JOURNAL`` (a path, empty for none).

    ``PROFILE_URL``, ``PAYMENT_URL`` and ``INVENTORY_URL``, where they are set, name services to wait for.
    Raises ``SettingError`` that names the variable, its value and what is allowed.
    """
    journal = environment.get("TRAFFIC_JOURNAL")
    return TrafficSettings(
        seed=_seed(environment.get("TRAFFIC_SEED") or str(DEFAULT_SEED)),
        rate_per_s=_rate(environment.get("TRAFFIC_RATE") or str(DEFAULT_RATE_PER_S)),
        journal=Path(journal) if journal else None,
        shop=tuple(url.rstrip("/") for name in SHOP_VARIABLES if (url := environment.get(name))),
    )


def _seed(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingError(f"TRAFFIC_SEED={text!r}: an integer is needed") from None


def _rate(text: str) -> float:
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise SettingError(f"TRAFFIC_RATE={text!r}: a number above 0 is needed (requests per second)")
    return rate
