"""Python's data as tables: what can be registered, and variables named in SQL."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import FrameType
from typing import Any

from ._stoadb import Input, InterfaceError

_NUMPY_KINDS = "biufMm"


def _is_numpy(value: Any) -> bool:
    module = type(value).__module__
    return (module == "numpy" or module.startswith("numpy.")) and hasattr(value, "dtype")


def _column(values: Any) -> Any:
    """A column as the native half reads it: NumPy numbers in one piece stay where they are, the rest is copied."""
    if _is_numpy(values):
        import numpy

        array = numpy.ma.getdata(values)
        if values.ndim != 1:
            raise InterfaceError(f"a column has one dimension, not {values.ndim}")
        mask = numpy.ma.getmaskarray(values) if isinstance(values, numpy.ma.MaskedArray) else None
        if mask is not None and mask.any():
            return [None if hidden else value for value, hidden in zip(array.tolist(), mask.tolist())]
        if array.dtype.kind not in _NUMPY_KINDS:
            return array.tolist()
        if array.dtype.kind in "Mm":
            unit, step = numpy.datetime_data(array.dtype)
            if unit not in ("s", "ms", "us", "ns") or step != 1:
                array = array.astype(f"{array.dtype.kind}8[s]" if unit in "YMWDhm" else f"{array.dtype.kind}8[ns]")
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return array if array.flags.c_contiguous and array.flags.aligned else numpy.array(array)
    if hasattr(values, "__arrow_c_array__"):
        return values
    if hasattr(values, "__arrow_c_stream__"):
        return _one_array(values)
    if hasattr(values, "__array_interface__") or hasattr(values, "__array__"):
        import numpy

        return _column(numpy.asarray(values))
    if isinstance(values, (list, tuple, range)):
        return list(values)
    raise InterfaceError(f"a {type(values).__name__} is no column")


def _one_array(chunks: Any) -> Any:
    import pyarrow

    array = pyarrow.chunked_array(chunks)
    return array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()


def _columns_of_array(array: Any) -> dict[str, Any]:
    if array.dtype.names is not None:
        return {name: _column(array[name]) for name in array.dtype.names}
    if array.ndim == 1:
        return {"value": _column(array)}
    if array.ndim == 2:
        return {f"column{at}": _column(array[:, at]) for at in range(array.shape[1])}
    raise InterfaceError(f"an array that is a table has one or two dimensions, not {array.ndim}")


def as_input(data: Any) -> Input | None:
    """The data as a table; None when they are none."""
    if isinstance(data, Input):
        return data
    if isinstance(data, Mapping):
        return Input.of_columns({str(name): _column(values) for name, values in data.items()})
    if _is_numpy(data):
        return Input.of_columns(_columns_of_array(data)) if data.ndim else None
    kind = type(data).__module__.partition(".")[0]
    if kind == "pandas" and type(data).__name__ in ("DataFrame", "Series"):
        return _of_pandas(data)
    if kind == "polars" and type(data).__name__ == "LazyFrame":
        data = data.collect()
    if kind == "polars" and type(data).__name__ == "Series":
        data = data.to_frame(data.name or "value")
    if kind == "pyarrow" and type(data).__module__ in ("pyarrow._dataset", "pyarrow.dataset"):
        if hasattr(data, "to_table"):
            data = data.to_table()
    if hasattr(data, "__arrow_c_stream__"):
        stream = data.__arrow_c_stream__()
        if type(data).__name__ == "ChunkedArray":
            import pyarrow

            return as_input(pyarrow.table({"value": data}))
        return Input.of_stream(stream)
    if hasattr(data, "__arrow_c_array__"):
        return Input.of_array(data.__arrow_c_array__())
    if hasattr(data, "__dataframe__"):
        from pyarrow.interchange import from_dataframe

        return Input.of_stream(from_dataframe(data).__arrow_c_stream__())
    return None


def _of_pandas(data: Any) -> Input:
    frame = data.to_frame(data.name or "value") if type(data).__name__ == "Series" else data
    columns: dict[str, Any] = {}
    for at, name in enumerate(frame.columns):
        column = frame.iloc[:, at]
        values = column.array
        # NumPy's numbers are read where they lie; NaN stays NaN.
        plain = type(column.dtype).__module__.startswith("numpy") and column.dtype.kind in "biuf"
        if plain:
            columns[str(name)] = _column(column.to_numpy(copy=False))
        else:
            import pyarrow

            array = pyarrow.array(values, from_pandas=True)
            columns[str(name)] = _one_array(array) if isinstance(array, pyarrow.ChunkedArray) else array
    if len(columns) < len(frame.columns):
        raise InterfaceError("two columns of the frame have the same name")
    return Input.of_columns(columns)


def need_input(data: Any) -> Input:
    """The data as a table.

    Raises InterfaceError when they are none.
    """
    found = as_input(data)
    if found is None:
        raise InterfaceError(
            f"a {type(data).__name__} is no table: give Arrow data, a data frame, NumPy arrays, or a dict of columns"
        )
    return found


def caller() -> FrameType | None:
    """The frame that called the package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == __package__:
        frame = frame.f_back
    return frame


def variable(frame: FrameType | None, name: str) -> Any:
    """The variable of a name as the caller sees it; None when there is none."""
    if frame is None:
        return None
    local = frame.f_locals
    return local[name] if name in local else frame.f_globals.get(name)
