"""StoaDB: a columnar in-memory analytics engine, for data where they lie.

    import stoadb

    con = stoadb.connect()
    con.register("sales", {"price": prices, "day": days})        # NumPy arrays, not copied
    con.sql("SELECT day, avg(price) FROM sales GROUP BY day").df()
    stoadb.stats(prices)

The interface of PEP 249 is there as well: connect(), cursors, execute(), fetchall().
"""

from __future__ import annotations

import datetime as _datetime
import os as _os
import time as _time
from collections.abc import Mapping as _Mapping
from collections.abc import Sequence as _Sequence
from typing import Any as _Any

from . import _stoadb
from ._connection import Connection, Cursor
from ._relation import Relation
from ._statistics import Stats, default_connection, describe, histogram, quantile, stats
from ._stoadb import (
    DatabaseError,
    DataError,
    Error,
    IntegrityError,
    InterfaceError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    Warning,
    __version__,
)

#: The version of PEP 249.
apilevel = "2.0"
#: Threads may share the module and connections.
threadsafety = 2
#: ``?`` in SQL; ``$1`` and ``$name`` do as well.
paramstyle = "qmark"

Date = _datetime.date
Time = _datetime.time
Timestamp = _datetime.datetime
Binary = bytes


def DateFromTicks(ticks: float) -> _datetime.date:
    """The date of a number of seconds since 1970, in local time."""
    return Date(*_time.localtime(ticks)[:3])


def TimeFromTicks(ticks: float) -> _datetime.time:
    """The time of day of a number of seconds since 1970, in local time."""
    return Time(*_time.localtime(ticks)[3:6])


def TimestampFromTicks(ticks: float) -> _datetime.datetime:
    """The time of a number of seconds since 1970, in local time."""
    return Timestamp(*_time.localtime(ticks)[:6])


class _TypeGroup:
    """Equals the SQL types of a group, as PEP 249 wants it."""

    def __init__(self, *names: str) -> None:
        self._names = names

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.upper().startswith(self._names)

    __hash__ = None  # type: ignore[assignment]


STRING = _TypeGroup("TEXT", "VARCHAR")
BINARY = _TypeGroup("BLOB")
NUMBER = _TypeGroup(
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "REAL", "FLOAT", "DOUBLE",
    "DECIMAL",
)
DATETIME = _TypeGroup("DATE", "TIME", "INTERVAL")
ROWID = _TypeGroup("ROWID")


def connect(path: str | _os.PathLike[str] | None = None, **settings: object) -> Connection:
    """A connection to a new database in memory or, with a path, to the database saved in that folder.

    Settings are those of SET: ``threads=4, memory_limit="2GB", timeout="30s"``. What changes in an opened database stays
    in memory until save().
    """
    return Connection(_stoadb.Connection(path)).set(**settings)


def sql(query: str, params: _Sequence[_Any] | _Mapping[str, _Any] | None = None) -> Relation | None:
    """Connection.sql() of a connection of the process's own."""
    return default_connection().sql(query, params)


__all__ = [
    "BINARY",
    "Binary",
    "Connection",
    "Cursor",
    "DATETIME",
    "DataError",
    "DatabaseError",
    "Date",
    "DateFromTicks",
    "Error",
    "IntegrityError",
    "InterfaceError",
    "InternalError",
    "NUMBER",
    "NotSupportedError",
    "OperationalError",
    "ProgrammingError",
    "ROWID",
    "Relation",
    "STRING",
    "Stats",
    "Time",
    "TimeFromTicks",
    "Timestamp",
    "TimestampFromTicks",
    "Warning",
    "__version__",
    "apilevel",
    "connect",
    "default_connection",
    "describe",
    "histogram",
    "paramstyle",
    "quantile",
    "sql",
    "stats",
    "threadsafety",
]
