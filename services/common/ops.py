"""Operator settings: what a person on call may change live, and the trail of it.

Three layers, the upper one wins: what the environment says, what a failure
mode sets, what an operator sets. The operator's layer is kept in the database
(``ops.settings``), outlives a restart and reaches every replica; each change is
a row of ``ops.setting_changes``.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import copy
from types import UnionType
from typing import Annotated, Any, Generic, Optional, TypeVar, Union, get_args, get_origin

import structlog
from pydantic import BaseModel, BeforeValidator, ConfigDict, JsonValue, ValidationError, create_model
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    DateTime,
    Integer,
    MetaData,
    String,
    Table,
    func,
    select,
)
from sqlalchemy.exc import SQLAlchemyError

from services.common.database import Database
from services.common.errors import Unavailable

log = structlog.get_logger()

RESTART = "restart"
"""The name under which the trail has a restart that an operator asked for."""

metadata = MetaData(schema="ops")

settings_table = Table(
    "settings",
    metadata,
    Column("service", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("value", JSON(none_as_null=True), nullable=False),
    Column("changed_at", DateTime(timezone=True), server_default=func.now(), nullable=False),
)
changes_table = Table(
    "setting_changes",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("at", DateTime(timezone=True), server_default=func.now(), nullable=False),
    Column("service", String, nullable=False),
    Column("actor", String, nullable=False),
    Column("name", String, nullable=False),
    Column("old_value", JSON(none_as_null=True)),
    Column("new_value", JSON(none_as_null=True)),
)


class OperatorModel(BaseModel):
    """Base of a service's operator settings: known names only, checked when assigned."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=OperatorModel)


class SettingView(BaseModel):
    """One setting as an operator sees it."""

    value: JsonValue
    set_by_operator: bool
    description: str


class SettingsView(BaseModel):
    """Every operator setting of a service."""

    service: str
    settings: dict[str, SettingView]


def trail(database_url: str | None, *, service: str) -> Database | None:
    """Where a service that keeps nothing else writes down what operators did to it; nowhere without a URL."""
    return Database(database_url, service=service, schema="ops", pool_size=2) if database_url else None


class OperatorSettings(Generic[S]):
    """The three layers of one service's settings.

    ``baseline`` is what the environment says. ``on_change`` is called with the
    settings in force after every change, also at the start.
    """

    def __init__(self, service: str, baseline: S, *, database: Database | None) -> None:
        self.service = service
        self.baseline = baseline
        self._database = database
        self._mode: Mapping[str, Any] = {}
        self._operator: dict[str, Any] = {}
        self._lock = threading.RLock()
        self._listeners: list[Callable[[S], None]] = []
        self.in_force = baseline

    def on_change(self, listener: Callable[[S], None]) -> None:
        """Call ``listener`` now and after every change with the settings in force."""
        self._listeners.append(listener)
        listener(self.in_force)

    def set_mode_layer(self, values: Mapping[str, Any]) -> None:
        """Replace what the failure mode sets; an operator's value stays above it."""
        with self._lock:
            self._mode = values
            self._apply()

    def change(self, values: Mapping[str, Any], *, actor: str) -> None:
        """Set these values for the operator; ``None`` takes the operator's value back.

        Raises ``pydantic.ValidationError`` for what is not allowed, and
        ``Unavailable`` when the change cannot be recorded: then nothing changes.
        """
        with self._lock:
            operator = {**self._operator, **{k: v for k, v in values.items() if v is not None}}
            for name in (name for name, value in values.items() if value is None):
                operator.pop(name, None)
            checked = self._layered(operator).model_dump(mode="json")
            operator = {name: checked[name] for name in operator}
            if operator == self._operator:
                return
            self._record(operator, actor=actor)
            self._operator = operator
            self._apply()

    def clear(self, *, actor: str) -> None:
        """Take every operator value back."""
        with self._lock:
            self.change(dict.fromkeys(self._operator), actor=actor)

    @property
    def has_trail(self) -> bool:
        """Whether changes can be recorded: a service without a database has nothing to change."""
        return self._database is not None

    def audit(self, name: str, *, old: JsonValue, new: JsonValue, actor: str) -> None:
        """Record an operator's change of something that is no setting, for instance a DNS record.

        Raises ``Unavailable`` when it cannot be recorded; the caller then changes nothing.
        """
        with self._recording() as db:
            self._add_change(db, name, old=old, new=new, actor=actor)

    def refresh(self) -> None:
        """Read the operator's layer from the database; another replica may have changed it."""
        if self._database is None:
            return
        t = settings_table.c
        with self._lock:
            with self._database.control_transaction() as db:
                rows = db.execute(select(t.name, t.value).where(t.service == self.service)).all()
            operator = {row.name: row.value for row in rows if row.name in type(self.baseline).model_fields}
            if operator == self._operator:
                return
            try:
                self._layered(operator)
            except ValidationError as error:
                log.warning("settings.stored_value_refused", error=str(error))
                return
            self._operator = operator
            self._apply()

    def view(self) -> SettingsView:
        """The settings in force, each with whether an operator set it."""
        values = self.in_force.model_dump(mode="json")
        return SettingsView(
            service=self.service,
            settings={
                name: SettingView(
                    value=values[name],
                    set_by_operator=name in self._operator,
                    description=field.description or "",
                )
                for name, field in type(self.baseline).model_fields.items()
            },
        )

    def _layered(self, operator: Mapping[str, Any]) -> S:
        return type(self.baseline).model_validate({**self.baseline.model_dump(), **self._mode, **operator})

    def _apply(self) -> None:
        self.in_force = self._layered(self._operator)
        for listener in self._listeners:
            listener(self.in_force)

    def _record(self, operator: Mapping[str, Any], *, actor: str) -> None:
        t = settings_table.c
        with self._recording() as db:
            for name in sorted({*self._operator, *operator}):
                old, new = self._operator.get(name), operator.get(name)
                if old == new:
                    continue
                db.execute(settings_table.delete().where(t.service == self.service, t.name == name))
                if new is not None:
                    db.execute(settings_table.insert().values(service=self.service, name=name, value=new))
                self._add_change(db, name, old=old, new=new, actor=actor)

    def _add_change(self, db: Connection, name: str, *, old: JsonValue, new: JsonValue, actor: str) -> None:
        row = {"service": self.service, "actor": actor, "name": name, "old_value": old, "new_value": new}
        db.execute(changes_table.insert().values(row))

    @contextmanager
    def _recording(self) -> Iterator[Connection]:
        if self._database is None:
            raise Unavailable("this service has no database to record changes in: set DATABASE_URL")
        try:
            with self._database.control_transaction() as db:
                yield db
        except SQLAlchemyError as error:
            raise Unavailable(f"the change could not be recorded, so it was not made: {error}") from error


def _a_number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("a number, without quotes")
    return value


def _a_truth_value(value: object) -> object:
    if value is not None and not isinstance(value, bool):
        raise ValueError("true or false, without quotes")
    return value


_TYPED: dict[object, list[BeforeValidator]] = {
    bool: [BeforeValidator(_a_truth_value)],
    int: [BeforeValidator(_a_number)],
    float: [BeforeValidator(_a_number)],
}
"""A body in JSON has types of its own, and true is no number there; what the environment says has none."""


def _typed(annotation: Any) -> list[BeforeValidator]:
    """What a value of this type, or of this type and null, must be in a body."""
    is_union = get_origin(annotation) in (Union, UnionType)
    types = get_args(annotation) if is_union else (annotation,)
    return next((_TYPED[one] for one in types if one in _TYPED), [])


def patch_model(model: type[OperatorModel]) -> type[BaseModel]:
    """The body of ``PATCH /ops/settings``: every field of ``model``, optional and nullable."""
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        # What the value must be holds for a value, not for the null that takes it back.
        metadata = [*_typed(field.annotation), *field.metadata]
        checked = Annotated[field.annotation, *metadata] if metadata else field.annotation
        optional = copy(field)
        optional.default, optional.metadata = None, []
        fields[name] = (Optional[checked], optional)  # noqa: UP045 (a runtime type)
    return create_model(f"{model.__name__}Patch", __config__=ConfigDict(extra="forbid"), **fields)
