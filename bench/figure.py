"""One figure of the table."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """``value`` and ``limit`` are in ``unit``; the goal is reached below the limit."""

    name: str
    value: float
    limit: float
    unit: str

    @property
    def measured(self) -> str:
        return f"{self.value:.2f} {self.unit}"

    @property
    def goal(self) -> str:
        return f"under {self.limit:g} {self.unit}"

    @property
    def is_reached(self) -> bool:
        return self.value < self.limit
