"""A page of a list, as every service answers one."""

from collections.abc import Sequence
from typing import Generic, Self, TypeVar

from pydantic import BaseModel

Item = TypeVar("Item", bound=BaseModel)


class Page(BaseModel, Generic[Item]):
    """So many items from ``offset`` on; ``next_offset`` is null on the last page."""

    items: list[Item]
    limit: int
    offset: int
    next_offset: int | None

    @classmethod
    def of(cls, rows: Sequence[object], *, limit: int, offset: int) -> Self:
        """The page of ``rows``, of which one more than ``limit`` was read to know whether another follows."""
        next_offset = offset + limit if len(rows) > limit else None
        return cls.model_validate(
            {"items": rows[:limit], "limit": limit, "offset": offset, "next_offset": next_offset}
        )
