"""The schedule's side of a service's admin routes: what mode it is in, into a mode, back to the baseline."""

from typing import Self

import httpx

ANSWER_TIMEOUT_S = 2.0
CHANGE_TIMEOUT_S = 15.0
"""Entering a mode and restoring the baseline may have to wait for locks."""


class AdminError(Exception):
    """The service did not do what it was asked."""


class Unreachable(AdminError):
    """No connection: the request was certainly not received."""


class NoAnswer(AdminError):
    """The request may have been received, but no usable answer came."""


class Refused(AdminError):
    """The service answered with an error status: a wrong token, ``ENV`` not demo, an unknown mode."""


class Client:
    """One HTTP client for all services, with the lab's admin token where there is one."""

    def __init__(self, *, token: str | None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # A service may be restarted at any time: a kept connection would only be a dead one.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(headers=headers, limits=limits, trust_env=False)

    def send(self, method: str, url: str, *, timeout_s: float, resume: bool | None = None) -> httpx.Response:
        """Send one request; raises ``Unreachable``, ``NoAnswer`` or ``Refused``."""
        params = {} if resume is None else {"resume": "true" if resume else "false"}
        try:
            response = self._client.request(method, url, params=params, timeout=timeout_s)
        except httpx.ConnectError as error:
            raise Unreachable(str(error)) from error
        except httpx.TransportError as error:
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        if response.is_error:
            raise Refused(f"{response.status_code}: {response.text[:200]}")
        return response

    def close(self) -> None:
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class ServiceAdmin:
    """The admin routes of one service. Every call raises a ``AdminError`` when it fails."""

    def __init__(self, url: str, *, client: Client) -> None:
        self._url = url.rstrip("/")
        self._client = client

    def is_healthy(self) -> bool:
        try:
            self._client.send("GET", f"{self._url}/health", timeout_s=ANSWER_TIMEOUT_S)
        except AdminError:
            return False
        return True

    def current_mode(self) -> str:
        url = f"{self._url}/admin/failure-mode"
        answer = self._client.send("GET", url, timeout_s=ANSWER_TIMEOUT_S)
        try:
            return str(answer.json()["failure_mode"])
        except (ValueError, KeyError, TypeError) as error:
            raise NoAnswer(f"not the answer of an admin route: {answer.text[:200]}") from error

    def enter(self, mode: str, *, resume: bool) -> None:
        """Enter a failure mode anew, or (``resume``) after the service lost it in a restart."""
        url = f"{self._url}/admin/failure-mode/{mode}"
        self._client.send("POST", url, timeout_s=CHANGE_TIMEOUT_S, resume=resume)

    def restore_baseline(self, *, timeout_s: float = CHANGE_TIMEOUT_S) -> None:
        """Leave the mode, take back what operators set, and repair the world."""
        self._client.send("POST", f"{self._url}/admin/baseline", timeout_s=timeout_s)
