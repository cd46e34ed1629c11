import asyncio

import pytest
from fastapi import Request
from pydantic import SecretStr

from services.common.admin import BURST, MAX_CLIENTS, REGAIN_S, Guesses, TokenGate, TooManyGuesses
from services.common.errors import Forbidden

AWAY, HERE = "192.0.2.7", "127.0.0.1"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def knock(gate: TokenGate, *authorizations: bytes, client: str = AWAY) -> None:
    headers = [(b"authorization", one) for one in authorizations]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "client": (client, 5000)}
    asyncio.run(gate(Request(scope)))


def gate_with(token: str | None, *, clock: Clock | None = None) -> TokenGate:
    return TokenGate(SecretStr(token) if token else None, name="admin", clock=clock or Clock())


def use_up(gate: TokenGate, *, client: str) -> None:
    for _ in range(BURST):
        with pytest.raises(Forbidden):
            knock(gate, b"Bearer guess", client=client)


@pytest.mark.parametrize("offered", [b"Bearer s3cret", b"bearer s3cret", b"BEARER  s3cret "])
def test_the_right_token_lets_in(offered: bytes) -> None:
    knock(gate_with("s3cret"), offered)


def test_a_token_may_have_any_letters() -> None:
    knock(gate_with("schlüssel"), "Bearer schlüssel".encode())


@pytest.mark.parametrize(
    "offered",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"s3cret",
        b"Basic s3cret",
        b"Bearer S3CRET",
        b"Bearer s3cret,",
        b"Bearer \xff",
    ],
)
def test_anything_else_is_refused(offered: bytes) -> None:
    with pytest.raises(Forbidden):
        knock(gate_with("s3cret"), offered)


@pytest.mark.parametrize(
    "offered", [(), (b"Bearer s3cret", b"Bearer other"), (b"Bearer other", b"Bearer s3cret")]
)
def test_one_token_is_asked_for_and_not_several(offered: tuple[bytes, ...]) -> None:
    with pytest.raises(Forbidden):
        knock(gate_with("s3cret"), *offered)


def test_without_a_token_set_everybody_is_let_in() -> None:
    knock(gate_with(None))


def test_who_guesses_too_often_has_to_wait_also_with_the_right_token() -> None:
    clock = Clock()
    gate = gate_with("s3cret", clock=clock)
    use_up(gate, client=AWAY)

    for offered in (b"Bearer guess", b"Bearer s3cret"):
        with pytest.raises(TooManyGuesses):
            knock(gate, offered)
    clock.now_s += REGAIN_S

    knock(gate, b"Bearer s3cret")


def test_a_wait_gives_one_guess_and_not_a_new_burst() -> None:
    clock = Clock()
    gate = gate_with("s3cret", clock=clock)
    use_up(gate, client=AWAY)
    clock.now_s += REGAIN_S

    with pytest.raises(Forbidden):
        knock(gate, b"Bearer guess")
    with pytest.raises(TooManyGuesses):
        knock(gate, b"Bearer guess")


def test_one_clients_guesses_keep_no_other_out() -> None:
    gate = gate_with("s3cret")
    use_up(gate, client=AWAY)

    knock(gate, b"Bearer s3cret", client="192.0.2.8")


def test_on_this_machine_the_right_token_is_never_kept_out() -> None:
    gate = gate_with("s3cret")
    use_up(gate, client=HERE)

    with pytest.raises(TooManyGuesses):
        knock(gate, b"Bearer guess", client=HERE)
    knock(gate, b"Bearer s3cret", client=HERE)


def test_asking_without_a_token_is_no_guess() -> None:
    gate = gate_with("s3cret")
    for _ in range(BURST + 1):
        with pytest.raises(Forbidden):
            knock(gate)

    knock(gate, b"Bearer s3cret")


def test_only_so_many_clients_are_remembered() -> None:
    guesses = Guesses(clock=Clock())

    for number in range(MAX_CLIENTS + 50):
        guesses.count(f"client-{number}")

    assert len(guesses) == MAX_CLIENTS
