"""Who may use the exam's routes: the examiner by one token, each candidate by that of their run."""

import hashlib
import secrets
from collections.abc import Callable
from uuid import UUID

import structlog
from anyio import to_thread
from fastapi import Request
from pydantic import SecretStr

from services.common.admin import Guesses, TokenGate, TooManyGuesses, bearer_token, is_this_machine
from services.common.errors import Forbidden

log = structlog.get_logger()


def new_token() -> str:
    """A candidate's token: 256 random bits."""
    return f"cand-{secrets.token_urlsafe(32)}"


def hash_of(token: str) -> str:
    """What is stored of a token. It is random, so a plain hash cannot be turned back."""
    return hashlib.sha256(token.encode()).hexdigest()


def examiner_gate(token: SecretStr | None) -> Callable[[Request], object]:
    """A dependency that lets only the examiner pass; nobody where there is no token."""
    if token is not None:
        return TokenGate(token, name="examiner")

    async def closed(_request: Request) -> None:
        raise Forbidden("this needs EXAMINER_TOKEN to be set")

    return closed


class CandidateGate:
    """A dependency that gives the id of the run whose candidate's token the request carries.

    ``run_of`` finds a run by its token's hash. Raises ``Forbidden`` without such
    a token, and ``TooManyGuesses`` to a client that has sent too many wrong ones.
    """

    def __init__(self, run_of: Callable[[str], UUID | None], *, guesses: Guesses | None = None) -> None:
        self._run_of = run_of
        self._guesses = guesses or Guesses()

    async def __call__(self, request: Request) -> UUID:
        offered = bearer_token(request)
        if offered is None:
            raise Forbidden("this needs a candidate's token as a bearer token")
        client = request.client.host if request.client else ""
        must_wait = self._guesses.are_used_up(client)
        # Looked up by its hash: how long that takes tells nothing about the token.
        run_id = await to_thread.run_sync(self._run_of, hash_of(offered.decode("latin-1")))
        if run_id is not None and (not must_wait or is_this_machine(client)):
            return run_id
        if must_wait:
            raise TooManyGuesses("too many wrong candidate tokens: wait before the next")
        self._guesses.count(client)
        log.warning("token.refused", gate="candidate", client=client)
        raise Forbidden("this is not the token of a run")
