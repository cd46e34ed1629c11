"""How a list is cut into pages."""

from dataclasses import dataclass

import pytest
from pydantic import BaseModel, ConfigDict

from services.common.pages import Page


class Article(BaseModel):
    """What is shown of a row."""

    model_config = ConfigDict(from_attributes=True)

    sku: str


@dataclass
class Row:
    """A row as the database has it."""

    sku: str
    cost: int = 1


ROWS = [Row("cup"), Row("mug"), Row("pan")]


@pytest.mark.parametrize(
    ("limit", "shown", "next_offset"),
    [(2, ["cup", "mug"], 12), (3, ["cup", "mug", "pan"], None), (4, ["cup", "mug", "pan"], None)],
)
def test_a_page_has_a_next_one_only_if_a_row_more_was_read(
    limit: int, shown: list[str], next_offset: int | None
) -> None:
    page = Page[Article].of(ROWS, limit=limit, offset=10)

    assert [article.sku for article in page.items] == shown
    assert (page.limit, page.offset, page.next_offset) == (limit, 10, next_offset)


def test_a_page_of_nothing_is_the_last_one() -> None:
    assert Page[Article].of([], limit=5, offset=0).next_offset is None
