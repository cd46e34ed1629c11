"""Items of one reservation, added up in the one order that cannot deadlock."""

from hypothesis import given, settings
from hypothesis import strategies as st

from services.inventory.schemas import Item
from services.inventory.store import _totals

ITEMS = st.lists(
    st.builds(
        Item, sku=st.sampled_from(["mug-blue", "cap-navy", "tee-black"]), quantity=st.integers(1, 1000)
    ),
    max_size=20,
)


@given(ITEMS)
@settings(max_examples=100, deadline=None, derandomize=True)
def test_each_article_comes_once_in_the_order_of_its_name_with_all_that_is_asked(items: list[Item]) -> None:
    totals = _totals(items)

    names = [sku for sku, _ in totals]
    assert names == sorted(set(names))
    assert sum(quantity for _, quantity in totals) == sum(item.quantity for item in items)
    assert {sku for sku, _ in totals} == {item.sku for item in items}
