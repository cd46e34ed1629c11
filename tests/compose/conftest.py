"""One compose lab for all tests of this folder; ``make test-compose`` runs them, on a Docker engine."""

from collections.abc import Iterator

import pytest

from tests.compose.engine import ComposeLab, docker, why_no_engine


@pytest.fixture(scope="session")
def lab() -> Iterator[ComposeLab]:
    """The whole lab, quiet: nothing is scheduled to break."""
    missing = why_no_engine()
    if missing:
        pytest.skip(f"needs a Docker engine with compose: {missing}")
    if not docker("image", "ls", "-q", "firedrill").strip():
        pytest.skip("needs the image: docker compose build")
    lab = ComposeLab("firedrill-test", subnet="172.30.78")
    lab.down()
    try:
        took_s = lab.up()
        print(f"\nup --wait: {took_s:.1f} s; no image, left out: {', '.join(lab.left_out) or 'nothing'}")
        yield lab
    finally:
        lab.down()
    assert not lab.left_behind()
