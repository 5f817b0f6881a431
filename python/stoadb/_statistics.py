"""Statistics of single fields, in one call."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from . import _inputs, _stoadb
from ._connection import Connection
from ._relation import Relation
from ._stoadb import InterfaceError

_DEFAULT: tuple[int, Connection] | None = None


def default_connection() -> Connection:
    """The connection that functions of the module use: one for each process."""
    global _DEFAULT
    if _DEFAULT is None or _DEFAULT[0] != os.getpid() or _DEFAULT[1].closed:
        _DEFAULT = (os.getpid(), Connection(_stoadb.Connection()))
    return _DEFAULT[1]


def _field(values: Any) -> Relation:
    column = _inputs._column(values)
    connection = default_connection()
    data = _stoadb.Input.of_columns({"value": column})
    return Relation(connection, "SELECT value FROM __data", inputs={"__data": data})


class Stats(dict[str, Any]):
    """Statistics by name, which are attributes as well."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    def __repr__(self) -> str:
        width = max(map(len, self))
        return "\n".join(f"{name:<{width}}  {value}" for name, value in self.items())


_NUMERIC = (
    "count(*) AS count, count(*) - count(value) AS nulls, min(value) AS min, max(value) AS max, sum(value) AS sum, "
    "avg(value) AS mean, stddev(value) AS stddev"
)
_QUARTILES = (
    "quantile_cont(value, 0.25) AS q25, quantile_cont(value, 0.5) AS median, quantile_cont(value, 0.75) AS q75"
)
_OTHER = (
    "count(*) AS count, count(*) - count(value) AS nulls, min(value) AS min, max(value) AS max, "
    "count(DISTINCT value) AS distinct_values"
)


def stats(values: Any, quartiles: bool = True) -> Stats:
    """Count, NULLs, bounds, sum, mean, standard deviation and quartiles of a field: of a NumPy or Arrow array, a column of
    a data frame, or a list. Of other fields than numbers: count, NULLs, bounds, distinct values."""
    field = _field(values)
    numeric = _is_numeric(field.types[0])
    wanted = (_NUMERIC + (", " + _QUARTILES if quartiles else "")) if numeric else _OTHER
    rows = field.aggregate(wanted)._rows()
    return Stats(zip(rows.columns, rows.fetch()[0]))


def _is_numeric(kind: str) -> bool:
    names = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
    return kind.upper() in (*names, "REAL", "FLOAT", "DOUBLE") or kind.upper().startswith("DECIMAL")


def describe(data: Any) -> Relation:
    """A row of statistics for each column of a table of Python's, as ``SUMMARIZE`` gives them."""
    connection = default_connection()
    rows = connection._run("SUMMARIZE SELECT * FROM __data", None, {"__data": _inputs.need_input(data)})
    return connection.table_of(_Table(rows))


class _Table:
    def __init__(self, rows: _stoadb.Rows) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.table()


def quantile(values: Any, q: float | Sequence[float]) -> Any:
    """The exact quantile of a field, or a list of them, interpolated between values as NumPy does."""
    shares = [q] if isinstance(q, (int, float)) else list(q)
    if not shares:
        return []
    if not all(0 <= share <= 1 for share in shares):
        raise InterfaceError("a quantile is asked for by a share from 0 to 1")
    wanted = ", ".join(f"quantile_cont(value, {float(share)!r})" for share in shares)
    row = list(_field(values).aggregate(wanted).fetchall()[0])
    return row[0] if isinstance(q, (int, float)) else row


def histogram(
    values: Any, bins: int = 10, range: tuple[float, float] | None = None
) -> tuple[list[int], list[float]]:
    """How many values of a field are in each of equally wide bins, and the edges of these: what numpy.histogram gives. NULL
    and NaN are left out."""
    if bins < 1:
        raise InterfaceError("a histogram has at least one bin")
    field = _field(values).project("CAST(value AS DOUBLE) AS x").filter("x = x AND x <> 'NaN'::DOUBLE")
    if range is None:
        low, high = field.aggregate("min(x), max(x)").fetchall()[0]
        low, high = (0.0, 1.0) if low is None else (low, high)
    else:
        low, high = map(float, range)
    if not (abs(low) < float("inf") and abs(high) < float("inf")) or low > high:
        raise InterfaceError(f"a histogram has no range from {low} to {high}")
    if low == high:
        low, high = low - 0.5, high + 0.5
    step = (high - low) / bins
    edges = [low + at * step for at in _numbers(bins)] + [high]
    first = f"CAST(least(floor((x - {low!r}) / {step!r}), {bins - 1}) AS BIGINT)"
    # The division may be off by a rounding: the edges decide.
    bin_of = (
        f"CASE WHEN x < {low!r} + b * {step!r} THEN b - 1 "
        f"WHEN b < {bins - 1} AND x >= {low!r} + (b + 1) * {step!r} THEN b + 1 ELSE b END"
    )
    placed = field.filter(f"x BETWEEN {low!r} AND {high!r}").project(f"x, {first} AS b")
    counted = placed.project(f"{bin_of} AS bin").aggregate("count(*) AS n", by="bin").fetchall()
    counts = [0] * bins
    for at, count in counted:
        counts[at] += count
    return counts, edges


_numbers = range
