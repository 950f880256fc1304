"""Column types that mean the same on SQLite and PostgreSQL, and the base of all models.

Ids and hashes that people or JSON name are lower-case hex; bytes that only programs read are bytes. Times are
stored as their one spelling (`custody.text.to_time`), which sorts as time does.
"""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

from sqlalchemy import BigInteger, Dialect, Enum, Integer, LargeBinary, MetaData, String
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

from custody.text import from_time, to_time

_TIME_LENGTH = 27
_STATE_LENGTH = 16


class Time(TypeDecorator[datetime]):
    """An aware UTC time to the microsecond."""

    impl = String(_TIME_LENGTH)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """As it is stored."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value} has no zone, expected an aware time")
        return to_time(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """As Python knows it."""
        return None if value is None else from_time(value)


def one_of(kind: type[StrEnum]) -> Enum:
    """A short text held to the values of an enumeration."""
    return Enum(
        kind,
        native_enum=False,
        create_constraint=True,
        length=_STATE_LENGTH,
        name=kind.__name__.lower(),
        values_callable=lambda members: [member.value for member in members],
    )


Number = Annotated[int, mapped_column(BigInteger)]
RowId = Annotated[
    int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
]
Id = Annotated[str, mapped_column(String(32))]
Hash = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(64))]
Raw = Annotated[bytes, mapped_column(LargeBinary)]
At = Annotated[datetime, mapped_column(Time)]


class Base(DeclarativeBase):
    """Base of all models; constraints are named by rule, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
