"""What the gateway asks for behind it is what it was asked for."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from services.gateway.app import _target


def target(raw_path: bytes, query: bytes) -> str:
    return _target(Request({"type": "http", "raw_path": raw_path, "query_string": query, "headers": []}))


@pytest.mark.parametrize(
    ("raw_path", "query", "expected"),
    [
        (b"/api/stats", b"", "/api/stats"),
        (b"/api/stats?x=1", b"x=1", "/api/stats?x=1"),
        (b"/api/customers/%2F%00", b"a=b%20c&d=+", "/api/customers/%2F%00?a=b%20c&d=+"),
        (b"/api/customers/\xff", b"q=\xc3\xa9", "/api/customers/%FF?q=%C3%A9"),
        (b"/api/customers/a b", b"", "/api/customers/a%20b"),
    ],
)
def test_path_and_query_stay_as_they_were_written(raw_path: bytes, query: bytes, expected: str) -> None:
    assert target(raw_path, query) == expected


@given(st.binary(max_size=40), st.binary(max_size=40))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_no_bytes_lead_to_what_a_url_must_not_contain(raw_path: bytes, query: bytes) -> None:
    made = target(raw_path, query)

    assert made.isascii()
    assert " " not in made
    assert made.isprintable()
