"""A list on a page whose rows stay the same elements while what they show is in the list."""

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, Protocol, TypeVar

from nicegui import ui

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Shown = TypeVar("Shown", contravariant=True)


class Row(Protocol[Shown]):
    """One line of a list."""

    @property
    def element(self) -> ui.element:
        """What stands on the page."""

    def show(self, item: Shown, /) -> None:
        """Say how the item stands now; nothing is sent while nothing changed."""


class Rows(Generic[K, T]):
    """The rows inside ``box``, below what is in it already.

    Focus, and what was unfolded, stay where they are while others come and go.
    """

    def __init__(self, box: ui.element, *, key: Callable[[T], K], make: Callable[[T], Row[T]]) -> None:
        self._box = box
        self._key = key
        self._make = make
        self._above = len(box.default_slot.children)
        self._rows: dict[K, Row[T]] = {}
        self._is_first = True

    def show(self, items: Sequence[T]) -> None:
        """Show exactly these, in this order."""
        wanted = {self._key(item): item for item in items}
        for gone in [key for key in self._rows if key not in wanted]:
            self._rows.pop(gone).element.delete()
        for place, (key, item) in enumerate(wanted.items(), start=self._above):
            row = self._rows.get(key)
            if row is None:
                with self._box:
                    row = self._rows[key] = self._make(item)
                if not self._is_first:
                    row.element.classes(add="arrived")
            row.show(item)
            if self._box.default_slot.children.index(row.element) != place:
                row.element.move(self._box, target_index=place)
        self._box.set_visibility(bool(items))
        self._is_first = False
