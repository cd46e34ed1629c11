"""Regular expressions of others: in linear time, and what is none is refused."""

import time

import pytest

from services.common.regex import InvalidRegex, regex


@pytest.mark.parametrize(
    ("text", "value", "matches"),
    [
        ("pay", "payment", False),
        ("ment", "payment", False),
        ("pay.*|fraud", "payment", True),
        ("(?i)ÉTÉ", "été", True),
        (".", "é", True),
        ("a.b", "a\nb", False),
        ("(?s)a.b", "a\nb", True),
        ("a$", "a\n", False),
        ("", "", True),
    ],
)
def test_it_matches_all_of_a_text_or_nothing(text: str, value: str, matches: bool) -> None:
    assert regex(text).matches(value) is matches


def test_groups_are_found_by_number_and_by_name() -> None:
    pattern = regex("(?P<first>é)(x)?(.*)")

    assert pattern.groups("écu") == {"0": "écu", "1": "é", "2": "", "3": "cu", "first": "é"}
    assert pattern.groups("cu") is None


@pytest.mark.timeout(20)
@pytest.mark.parametrize("text", ["(.+)+0", "(?:(?:.?){9}){9}x", "(.?){900}0", "(a|b|ab)*c"])
def test_none_takes_long(text: str) -> None:
    pattern = regex(text)
    began_s = time.perf_counter()

    for value in ("ab" * 20, "/api/v1/escalation-policies/{team}"):
        assert not pattern.matches(value)

    assert time.perf_counter() - began_s < 1


@pytest.mark.parametrize("text", ["(", "(?=a)", r"(a)\1", "a**", "a{1001}", "(.?){1000}(.?){1000}", "\ud800"])
def test_what_is_none_or_too_big_is_refused(text: str) -> None:
    with pytest.raises(InvalidRegex, match=r"\w"):
        regex(text)
