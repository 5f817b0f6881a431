"""Connections and cursors."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any

from . import _functions, _inputs, _render, _stoadb
from ._relation import Relation
from ._result import Description, Readable, describe
from ._stoadb import Input, InterfaceError

Parameters = Sequence[Any] | Mapping[str, Any]


class Cursor(Readable):
    """Runs statements and holds what the last one gave. Cursors of a connection share its transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: How many rows fetchmany() gives when it is told no number.
        self.arraysize = 1
        self._held: _stoadb.Rows | None = None
        self._changed = -1
        self._closed = False

    def execute(self, sql: str, parameters: Parameters | None = None) -> Cursor:
        """Runs the statements of a text; the cursor then reads the rows of the last one.

        ``parameters`` are the values of ``?`` and ``$1`` as a sequence, or of ``$name`` as a dict. Tables that the
        database does not know are looked for among the caller's variables.
        """
        self._open()
        self._held = None
        inputs = self.connection._variables(sql)
        self._held = self.connection._run(sql, parameters, inputs)
        self._changed = -1 if self._held.columns else self._held.rows_changed
        return self

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Runs a statement once for each of the parameters: for all of them, or, if one fails, for none."""
        self._open()
        self._held = None
        self._changed = self.connection._native.run_many(sql, parameters)
        return self

    def _open(self) -> None:
        if self._closed:
            raise _stoadb.ProgrammingError("the cursor is closed")

    def _rows(self) -> _stoadb.Rows:
        self._open()
        if self._held is None:
            raise _stoadb.ProgrammingError("no statement was run")
        return self._held

    @property
    def description(self) -> Description | None:
        """Name and SQL type of each column, and five times None; None where there are no columns."""
        return None if self._held is None else describe(self._held)

    @property
    def rowcount(self) -> int:
        """How many rows the statement changed; -1 for queries."""
        return self._changed

    def setinputsizes(self, sizes: object) -> None:
        """Does nothing; PEP 249 wants it."""

    def setoutputsize(self, size: object, column: object = None) -> None:
        """Does nothing; PEP 249 wants it."""

    def close(self) -> None:
        """Ends what the cursor reads."""
        if self._held is not None:
            self._held.cancel()
        self._held, self._closed = None, True

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Connection(Readable):
    """A connection to a database in memory or in a folder. Threads may share one; their statements take turns."""

    def __init__(self, native: _stoadb.Connection) -> None:
        self._native = native
        self._last: Cursor | None = None
        #: Whether tables that the database does not know are looked for among Python's variables.
        self.replacement_scans = True
        #: Whether long queries show a progress bar; None for: if standard error is a terminal.
        self.progress_bar: bool | None = None

    # Running statements.

    def _run(
        self, sql: str, parameters: Parameters | None = None, inputs: Mapping[str, Input] | None = None
    ) -> _stoadb.Rows:
        if not isinstance(sql, str):
            raise InterfaceError(f"a statement is a text, not a {type(sql).__name__}")
        return self._native.run(sql, parameters, dict(inputs) if inputs else None, _render.bar(self.progress_bar))

    def _variables(self, sql: str) -> dict[str, Input]:
        """The caller's variables that a text names as tables."""
        if not self.replacement_scans or not isinstance(sql, str):
            return {}
        names = self._native.unknown_names(sql)
        if not names:
            return {}
        frame = _inputs.caller()
        found = {}
        for name in names:
            value = _inputs.variable(frame, name)
            data = None if value is None or value is self else _inputs.as_input(value)
            if data is not None:
                found[name] = data
        return found

    def execute(self, sql: str, parameters: Parameters | None = None) -> Cursor:
        """Runs the statements of a text; gives a cursor that reads the rows of the last one. See Cursor.execute."""
        self._last = Cursor(self)
        return self._last.execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Parameters]) -> Cursor:
        """Runs a statement once for each of the parameters: for all of them, or, if one fails, for none."""
        self._last = Cursor(self)
        return self._last.executemany(sql, parameters)

    def sql(self, query: str, params: Parameters | None = None) -> Relation | None:
        """A query as a Relation, which runs when its rows are asked for. Any other statement is run at once and gives
        None, or a Relation of its rows if it has some."""
        inputs = self._variables(query)
        if self._native.is_query(query):
            return Relation(self, query, params, inputs)
        rows = self._run(query, params, inputs)
        if not rows.columns:
            return None
        return self.table_of(_Once(rows))

    query = sql

    def table(self, name: str) -> Relation:
        """A table, a view, or what is registered under a name, as a Relation."""
        return Relation(self, "SELECT * FROM " + ".".join(map(_quoted, name.split("."))))

    def table_of(self, data: object) -> Relation:
        """Data of Python's as a Relation, without a name in the database: see register()."""
        return Relation(self, "SELECT * FROM __data", inputs={"__data": _inputs.need_input(data)})

    def cursor(self) -> Cursor:
        """A new cursor."""
        return Cursor(self)

    def _rows(self) -> _stoadb.Rows:
        if self._last is None:
            raise _stoadb.ProgrammingError("no statement was run")
        return self._last._rows()

    @property
    def description(self) -> Description | None:
        """The description of what was executed last."""
        return None if self._last is None else self._last.description

    @property
    def rowcount(self) -> int:
        """How many rows the statement that was executed last changed; -1 for queries."""
        return -1 if self._last is None else self._last.rowcount

    def interrupt(self) -> None:
        """Cancels what the connection runs, from another thread."""
        self._native.interrupt()

    # Data and functions of Python's.

    def register(self, name: str, data: object) -> Connection:
        """Makes data readable as a table: Arrow data, pandas and polars frames, NumPy arrays, dicts of columns.

        Arrow data and NumPy's numbers are read where they lie, as they are when a query reads them; the connection keeps
        them alive until unregister() or another register() of the name.
        """
        self._native.register(name, _inputs.need_input(data))
        return self

    def unregister(self, name: str) -> bool:
        """Takes back what register() did. False when nothing was registered under the name."""
        return self._native.unregister(name)

    def create_function(
        self,
        name: str,
        function: Callable[..., Any],
        arguments: Sequence[Any] | None = None,
        result: Any = None,
        *,
        kind: str = "row",
        nulls: bool = False,
    ) -> Connection:
        """Makes a function usable in SQL, for all connections to the database.

        ``kind`` says how it is called: ``"row"`` with the values of a row (if one is NULL the result is NULL, unless
        ``nulls``, which gives it None); ``"arrow"`` with pyarrow arrays, for an array of as many values; ``"aggregate"``
        with the pyarrow arrays of a group's rows, for one value. ``arguments`` and ``result`` are types: SQL names,
        Python classes, or pyarrow types; without them the annotations say so. It may be called from several threads, must
        depend on its arguments alone, and cannot use a connection.
        """
        types, gives = _functions.signature(function, arguments, result)
        native = "row_with_nulls" if kind == "row" and nulls else kind
        self._native.create_function(name, function, native, types, gives)
        return self

    # Transactions.

    def begin(self) -> Connection:
        """Opens a transaction. Without one, each statement is a transaction of its own."""
        self._native.run("BEGIN")
        return self

    def commit(self) -> None:
        """Ends the open transaction and keeps what it did; does nothing when none is open."""
        if self._native.in_transaction:
            self._native.run("COMMIT")

    def rollback(self) -> None:
        """Ends the open transaction and undoes what it did; does nothing when none is open."""
        if self._native.in_transaction:
            self._native.run("ROLLBACK")

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return self._native.in_transaction

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Connection]:
        """``with con.transaction():`` commits at the end of the block, and rolls back if it raises."""
        self.begin()
        try:
            yield self
        except BaseException:
            self.rollback()
            raise
        self.commit()

    # The database.

    def save(self, path: str | os.PathLike[str] | None = None, *, replace: bool = False) -> tuple[int, int]:
        """Saves all tables and views to a folder, whole or not at all; without a path to the one that was opened. A
        database there that this one neither opened nor saved is replaced only if ``replace`` says so. Gives the number of
        tables and of the bytes that were written."""
        path = self._native.folder if path is None else path
        if path is None:
            raise _stoadb.ProgrammingError("the database has no folder yet: give a path")
        return self._native.save(path, replace)

    def set(self, **settings: object) -> Connection:
        """Changes settings of the connection, such as ``threads=4, memory_limit="2GB"``."""
        for name, value in settings.items():
            self._native.set(name, str(value).lower() if isinstance(value, bool) else str(value))
        return self

    def get(self, name: str) -> str:
        """A setting's value as text."""
        return self._native.get(name)

    def duplicate(self) -> Connection:
        """Another connection to the same database, with settings and a transaction of its own."""
        return Connection(self._native.duplicate())

    def close(self) -> None:
        """Closes the connection; a transaction that is open is rolled back. What was not saved goes with the last one."""
        self._last = None
        self._native.close()

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return self._native.closed

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        if self.closed:
            return "<stoadb.Connection, closed>"
        where = self._native.folder or "in memory"
        return f"<stoadb.Connection, {where}>"


class _Once:
    """Rows that are read once, as what gives an Arrow stream."""

    def __init__(self, rows: _stoadb.Rows) -> None:
        self._rows = rows

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.table()


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
