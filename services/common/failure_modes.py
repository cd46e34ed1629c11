"""Failure modes: what can be made to break in a service, each in a file of its own.

A service keeps them in its package ``failure_modes``: every module there has a
constant ``MODE``. ``none`` is always there and means that nothing is broken.
"""

import importlib
import pkgutil
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Generic, TypeVar

import psycopg2
import structlog
from sqlalchemy.exc import SQLAlchemyError

from services.common.errors import Unavailable, Unprocessable
from services.common.ops import OperatorSettings

log = structlog.get_logger()

NONE = "none"
W = TypeVar("W")


def _untouched(_world: Any, *, resume: bool = False) -> None:
    """A mode that acts through settings alone changes nothing in the world."""


@dataclass(frozen=True)
class FailureMode(Generic[W]):
    """One way to break a service.

    ``settings`` is put under the operator's settings while the mode is on.
    ``enter(world, resume=…)`` changes the world (a lock, a record) and
    ``leave(world)`` puts it back; ``world`` is what the service hands over.
    With ``resume`` the mode was on before a restart: only what the restart took
    away is re-established, so that what a person has mended stays mended.
    """

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    enter: Callable[..., None] = _untouched
    leave: Callable[[W], None] = _untouched


def discover(package: ModuleType) -> dict[str, FailureMode[Any]]:
    """The modes of a service: the constant ``MODE`` of every module in ``package``, by name."""
    modules = (
        importlib.import_module(f"{package.__name__}.{info.name}")
        for info in pkgutil.iter_modules(package.__path__)
    )
    modes = [FailureMode[Any](NONE), *(module.MODE for module in modules)]
    return {mode.name: mode for mode in modes}


class ModeSwitch(Generic[W]):
    """Which mode a service is in. One at a time; switching leaves the old one first."""

    def __init__(
        self, modes: Mapping[str, FailureMode[W]], *, world: W, settings: OperatorSettings[Any]
    ) -> None:
        self._modes = modes
        self._world = world
        self._settings = settings
        self._current = modes[NONE]
        self._lock = threading.Lock()

    @property
    def current(self) -> str:
        return self._current.name

    @property
    def known(self) -> list[str]:
        return sorted(self._modes)

    def to(self, name: str, *, resume: bool = False) -> str:
        """Switch to the mode of that name; returns the one before.

        Raises ``Unprocessable`` for an unknown name, and ``Unavailable`` when
        the database cannot be reached for it or keeps locked what it needs.
        When leaving fails the mode stays; when entering fails the service is
        left in ``none``.
        """
        mode = self._modes.get(name.lower())
        if mode is None:
            raise Unprocessable(f"unknown failure mode {name!r}; known: {', '.join(self.known)}")
        try:
            return self._switch(mode, resume=resume)
        except (SQLAlchemyError, psycopg2.Error, TimeoutError) as error:
            reason = str(error).partition("\n")[0]
            raise Unavailable(f"the failure mode {mode.name!r} cannot be switched to: {reason}") from error

    def _switch(self, mode: FailureMode[W], *, resume: bool) -> str:
        with self._lock:
            previous = self._current
            if mode is previous:
                return previous.name
            previous.leave(self._world)
            self._current = self._modes[NONE]
            self._settings.set_mode_layer(mode.settings)
            try:
                mode.enter(self._world, resume=resume)
            except BaseException:
                self._settings.set_mode_layer({})
                raise
            self._current = mode
        return previous.name
