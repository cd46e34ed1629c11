"""What is kept of a run's metrics while it goes on."""

from services.exam.journal import Series
from services.exam.recordings import MOST_POINTS, joined


def window(*at_s: float, service: str = "payment") -> Series:
    return Series(name="rate", service=service, unit="requests/s", points=tuple((at, at) for at in at_s))


def test_the_windows_of_a_series_become_one_without_doubles() -> None:
    [gateway, payment] = joined([[window(0, 5)], [window(5, 10), window(5, service="gateway")]])

    assert payment == window(0, 5, 10)
    assert gateway == window(5, service="gateway")


def test_a_day_of_samples_is_thinned_to_what_a_journal_takes() -> None:
    [series] = joined([[window(*range(0, 24 * 3600, 5))]])

    assert MOST_POINTS / 2 < len(series.points) <= MOST_POINTS
    assert series.points[0] == (0, 0)
