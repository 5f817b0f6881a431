"""What a statement gives, in every form that Python knows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from . import _stoadb
from ._stoadb import InterfaceError

if TYPE_CHECKING:
    import numpy
    import pandas
    import polars
    import pyarrow

Row = tuple[Any, ...]
Description = list[tuple[str, str, None, None, None, None, None]]


def unique(names: list[str]) -> list[str]:
    """The names, with a number behind those that were there before."""
    seen: set[str] = set(names) if len(set(names)) == len(names) else set()
    if seen:
        return names
    given: list[str] = []
    for name in names:
        at, new = 0, name
        while new in seen:
            at += 1
            new = f"{name}_{at}"
        seen.add(new)
        given.append(new)
    return given


class _Stream:
    """Rows for whoever takes an Arrow stream."""

    def __init__(self, rows: _stoadb.Rows, collected: bool) -> None:
        self._rows, self._collected = rows, collected

    def __arrow_c_schema__(self) -> object:
        return self._rows.schema()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self._rows.table() if self._collected else self._rows.stream()


class Readable:
    """The ways to read rows. Each row is given once: what was fetched is not in what comes after."""

    def _rows(self) -> _stoadb.Rows:
        raise NotImplementedError

    def fetchone(self) -> Row | None:
        """The next row; None when there is none left."""
        rows = self._rows().fetch(1)
        return rows[0] if rows else None

    def fetchmany(self, size: int | None = None) -> list[Row]:
        """The next rows, at most so many."""
        size = getattr(self, "arraysize", 1) if size is None else size
        if size < 0:
            raise InterfaceError("a number of rows is not negative")
        return self._rows().fetch(size)

    def fetchall(self) -> list[Row]:
        """All rows that are left."""
        return self._rows().fetch()

    def arrow(self) -> pyarrow.Table:
        """All rows that are left as a pyarrow Table; the values are not copied."""
        import pyarrow

        return pyarrow.table(_Stream(self._rows(), collected=True))

    def fetch_record_batch(self) -> pyarrow.RecordBatchReader:
        """The rows that are left as a pyarrow RecordBatchReader, which computes them while it is read."""
        import pyarrow

        return pyarrow.RecordBatchReader.from_stream(_Stream(self._rows(), collected=False))

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """The rows that are left as an Arrow stream, computed while it is read."""
        return self._rows().stream()

    def df(self) -> pandas.DataFrame:
        """All rows that are left as a pandas DataFrame; decimals become doubles."""
        import pandas

        try:
            import pyarrow
        except ImportError:
            return pandas.DataFrame(self.numpy())
        table = self.arrow()
        table = table.rename_columns(unique(table.column_names))
        for at, field in enumerate(table.schema):
            if pyarrow.types.is_decimal(field.type):
                doubles = table.column(at).cast(pyarrow.float64())
                table = table.set_column(at, field.name, doubles)
        return table.to_pandas()

    def pl(self) -> polars.DataFrame:
        """All rows that are left as a polars DataFrame."""
        import polars

        rows = self._rows()
        if len(set(rows.columns)) < len(rows.columns):
            table = self.arrow()
            return polars.DataFrame(table.rename_columns(unique(table.column_names)))
        return polars.DataFrame(_Stream(rows, collected=True))

    def numpy(self) -> dict[str, numpy.ndarray[Any, Any]]:
        """All rows that are left as an array for each column. Columns with NULLs are masked arrays (NaT for times); texts,
        lists and the like are arrays of objects; decimals become doubles."""
        import numpy

        found = self._rows().arrays()
        arrays = {}
        for name, (_, values, mask) in zip(unique([name for name, _, _ in found]), found):
            if isinstance(values, list):
                array = numpy.empty(len(values), dtype=object)
                array[:] = values
            else:
                array = numpy.asarray(values)
            if mask is not None:
                array = numpy.ma.MaskedArray(array, mask=numpy.asarray(mask))
            arrays[name] = array
        return arrays

    @property
    def bytes_touched(self) -> int | None:
        """How many bytes of stored data the query has touched so far; None for statements that are no queries."""
        return self._rows().bytes_touched

    def __iter__(self) -> Iterator[Row]:
        rows = self._rows()
        while batch := rows.fetch(1024):
            yield from batch


def describe(rows: _stoadb.Rows) -> Description | None:
    """What PEP 249 calls the description: names and SQL types; None for statements that give no columns."""
    columns = rows.columns
    if not columns:
        return None
    return [(name, kind, None, None, None, None, None) for name, kind in zip(columns, rows.types)]
