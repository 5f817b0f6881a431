"""Queries that are not run yet: built step by step, run when their rows are asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from . import _render, _stoadb
from ._result import Description, Readable, describe
from ._stoadb import Input, InterfaceError

if TYPE_CHECKING:
    from ._connection import Connection

_SHOWN = 20


def quote(name: str) -> str:
    """A name as SQL takes it, whatever its characters are."""
    return '"' + name.replace('"', '""') + '"'


class Relation(Readable):
    """A query. Its methods make new queries of it, which run when their rows are asked for.

    What is given to the methods is SQL: ``rel.filter("x > 1").aggregate("sum(x) AS total", by="day")``.
    """

    def __init__(
        self,
        connection: Connection,
        sql: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        inputs: Mapping[str, Input] | None = None,
        order: str = "",
        limit: str = "",
    ) -> None:
        self._connection = connection
        self._body, self._order, self._limit = sql.strip().rstrip(";"), order, limit
        self._parameters = parameters
        self._inputs = dict(inputs or {})
        self._running: _stoadb.Rows | None = None
        self._latest: _stoadb.Rows | None = None
        self._head: tuple[list[str], list[str]] | None = None

    @property
    def sql(self) -> str:
        """The text of the query."""
        if not self._order and not self._limit:
            return self._body
        return f"SELECT * FROM {self._source('q')}{self._order}{self._limit}"

    def _source(self, name: str) -> str:
        return f"(\n{self._body}\n) AS {name}"

    def _on(self, text: str) -> Relation:
        return Relation(self._connection, text, self._parameters, self._inputs)

    def _whole(self, name: str = "q") -> str:
        return f"(\n{self.sql}\n) AS {name}"

    # Building.

    def filter(self, condition: str) -> Relation:
        """The rows for which the condition is true."""
        return self._on(f"SELECT * FROM {self._whole()} WHERE ({condition}\n)")

    def project(self, expressions: str) -> Relation:
        """The expressions, separated by commas, of each row."""
        return self._on(f"SELECT {expressions}\nFROM {self._whole()}")

    select = project

    def aggregate(self, expressions: str, by: str = "") -> Relation:
        """The aggregates, separated by commas, of all rows or, with ``by``, of each group."""
        if not by:
            return self._on(f"SELECT {expressions}\nFROM {self._whole()}")
        return self._on(f"SELECT {by},\n{expressions}\nFROM {self._whole()} GROUP BY {by}")

    def order(self, keys: str) -> Relation:
        """The rows in the order of the keys, such as ``"day, price DESC"``."""
        return Relation(
            self._connection, self.sql, self._parameters, self._inputs, order=f" ORDER BY {keys}\n"
        )

    sort = order

    def limit(self, count: int, offset: int = 0) -> Relation:
        """The first rows, after some that are left out."""
        count, offset = int(count), int(offset)
        if count < 0 or offset < 0:
            raise InterfaceError("a number of rows is not negative")
        text = f" LIMIT {count}" + (f" OFFSET {offset}" if offset else "")
        if self._limit:
            return Relation(self._connection, self.sql, self._parameters, self._inputs, limit=text)
        return Relation(self._connection, self._body, self._parameters, self._inputs, self._order, text)

    def distinct(self) -> Relation:
        """The rows, each once."""
        return self._on(f"SELECT DISTINCT * FROM {self._whole()}")

    def join(self, other: Relation, on: str, how: str = "inner") -> Relation:
        """The rows of both that belong together: ``on`` is a list of columns that both have, such as ``"id, day"``, or a
        condition in which this relation is called ``l`` and the other one ``r``. ``how`` is inner, left, right, full,
        semi, anti or cross."""
        kinds = {"inner", "left", "right", "full", "semi", "anti", "cross"}
        if how not in kinds:
            raise InterfaceError(f"'{how}' is no kind of joins: {', '.join(sorted(kinds))} are")
        names = [name.strip() for name in on.split(",")]
        if how == "cross":
            rule = ""
        elif all(re.fullmatch(r'\w+|"(?:[^"]|"")+"', name) for name in names):
            rule = f" USING ({', '.join(names)})"
        else:
            rule = f" ON ({on}\n)"
        text = f"SELECT * FROM {self._whole('l')} {how.upper()} JOIN {other._whole('r')}{rule}"
        return self._with(other, text)

    def union(self, other: Relation) -> Relation:
        """The rows of this relation and those of the other one, all of them."""
        return self._with(other, f"SELECT * FROM {self._whole()} UNION ALL SELECT * FROM {other._whole()}")

    def _with(self, other: Relation, text: str) -> Relation:
        if other._connection is not self._connection:
            raise InterfaceError("the relations are of different connections")
        parameters, others = self._parameters, other._parameters
        if isinstance(parameters, Mapping) and isinstance(others, Mapping):
            both = {**parameters, **others}
            if any(parameters[name] is not others[name] for name in set(parameters) & set(others)):
                raise InterfaceError("a parameter has different values in the relations")
            parameters = both
        elif parameters and others:
            raise InterfaceError("both relations have parameters by number: give them by name")
        for name in set(self._inputs) & set(other._inputs):
            if self._inputs[name] is not other._inputs[name]:
                raise InterfaceError(f"the variable {name} had different values in the relations")
        return Relation(self._connection, text, parameters or others, {**self._inputs, **other._inputs})

    # Running.

    def execute(self) -> Relation:
        """Runs the query anew, from its first row."""
        self._running = self._run()
        return self

    def _run(self) -> _stoadb.Rows:
        self._latest = self._connection._run(self.sql, self._parameters, self._inputs)
        return self._latest

    def _rows(self) -> _stoadb.Rows:
        if self._running is None:
            self.execute()
        running = self._running
        assert running is not None
        return running

    def arrow(self) -> Any:
        """All rows as a pyarrow Table."""
        return Readable.arrow(self._whole_result())

    def df(self) -> Any:
        """All rows as a pandas DataFrame; decimals become doubles."""
        return Readable.df(self._whole_result())

    def pl(self) -> Any:
        """All rows as a polars DataFrame."""
        return Readable.pl(self._whole_result())

    def numpy(self) -> Any:
        """All rows as an array for each column: see Cursor.numpy."""
        return Readable.numpy(self._whole_result())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """All rows as an Arrow stream, computed while it is read."""
        return self._whole_result()._rows().stream()

    def fetch_record_batch(self) -> Any:
        """All rows as a pyarrow RecordBatchReader, which computes them while it is read."""
        return Readable.fetch_record_batch(self._whole_result())

    def _whole_result(self) -> _Result:
        return _Result(self._run())

    @property
    def bytes_touched(self) -> int | None:
        """How many bytes of stored data the last run of the query has touched so far; None when it has not been run."""
        return None if self._latest is None else self._latest.bytes_touched

    def _columns_and_types(self) -> tuple[list[str], list[str]]:
        if self._head is None:
            if self._latest is not None:
                rows = self._latest
            else:
                sql = f"SELECT * FROM {self._whole()} LIMIT 0"
                rows = self._connection._run(sql, self._parameters, self._inputs)
            self._head = (rows.columns, rows.types)
        return self._head

    @property
    def columns(self) -> list[str]:
        """The names of the columns."""
        return self._columns_and_types()[0]

    @property
    def types(self) -> list[str]:
        """The SQL types of the columns."""
        return self._columns_and_types()[1]

    @property
    def description(self) -> Description | None:
        """The names and the SQL types of the columns, as PEP 249 wants them."""
        return describe(self._rows())

    def explain(self, analyze: bool = False) -> str:
        """How the query will be run; with ``analyze`` it is run, and what each step did stands with it."""
        sql = f"EXPLAIN {'ANALYZE ' if analyze else ''}{self.sql}"
        rows = self._connection._run(sql, self._parameters, self._inputs)
        return "\n".join(str(row[0]) for row in rows.fetch())

    def _first(self, count: int) -> tuple[list[str], list[str], list[tuple[Any, ...]], bool]:
        rows = self._run()
        first = rows.fetch(count + 1)
        rows.cancel()
        return rows.columns, rows.types, first[:count], len(first) > count

    def show(self, rows: int = _SHOWN) -> None:
        """Prints the first rows."""
        print(_render.text_table(*self._first(rows)))

    def count(self) -> int:
        """How many rows there are."""
        counted = self._on(f"SELECT count(*) FROM {self._whole()}")
        row = counted.fetchone()
        assert row is not None
        return int(row[0])

    def __repr__(self) -> str:
        return _render.text_table(*self._first(_SHOWN))

    def _repr_html_(self) -> str:
        return _render.html_table(*self._first(_SHOWN))


class _Result(Readable):
    """Rows of a relation, to be read once."""

    def __init__(self, rows: _stoadb.Rows) -> None:
        self._held = rows

    def _rows(self) -> _stoadb.Rows:
        return self._held
