"""The rubric: how many points what is worth, and how it is explained to the candidate."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, model_validator

FILE = Path(__file__).parents[3] / "exam" / "rubric.yaml"
TOTAL = 100


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Item(_Part):
    """One thing that is looked at; ``measure`` names the function that gives its points."""

    measure: Annotated[str, Field(pattern=r"^[a-z_]+$")]
    points: Annotated[float, Field(gt=0)]
    parameters: Mapping[str, float] = {}
    explained: str

    @property
    def explanation(self) -> str:
        """For the candidate, with its figures filled in."""
        figures = {
            name: int(value) if value == int(value) else value for name, value in self.parameters.items()
        }
        return self.explained.format_map(figures)

    def __getitem__(self, parameter: str) -> float:
        return self.parameters[parameter]


class Criterion(_Part):
    """Items that belong together, for a night with a fault and for one without."""

    name: str
    title: str
    points: float
    floor: Annotated[float, Field(le=0)]
    """The least that the criterion comes to."""
    explained: str
    fault: tuple[Item, ...]
    quiet: tuple[Item, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        for night, items in (("fault", self.fault), ("quiet", self.quiet)):
            found = sum(item.points for item in items)
            if found != self.points:
                raise ValueError(f"{self.name}.{night}: the items come to {found:g}, not {self.points:g}")
        return self


class Rubric(_Part):
    """All criteria; together 100 points."""

    hints: str
    floor: str
    criteria: tuple[Criterion, ...]

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        found = sum(criterion.points for criterion in self.criteria)
        if found != TOTAL:
            raise ValueError(f"the criteria come to {found:g} points, not {TOTAL}")
        return self


@cache
def load(path: Path = FILE) -> Rubric:
    """Read a rubric. Raises ``OSError``, ``yaml.YAMLError`` or ``pydantic.ValidationError``."""
    return Rubric.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
