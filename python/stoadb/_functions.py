"""What functions written in Python take: Arrow arrays as pyarrow's, if it is there."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any

from . import _stoadb
from ._stoadb import InterfaceError

_TYPES = {
    "bool": "BOOLEAN",
    "int": "BIGINT",
    "float": "DOUBLE",
    "str": "TEXT",
    "bytes": "BLOB",
    "date": "DATE",
    "datetime": "TIMESTAMP",
    "time": "TIME",
    "timedelta": "INTERVAL",
}


def as_arrow(arrays: list[_stoadb.ArrowArray]) -> tuple[Any, ...]:
    """The arrays as pyarrow's; without pyarrow as they are, for whoever reads ``__arrow_c_array__``."""
    try:
        import pyarrow
    except ImportError:
        return tuple(arrays)
    return tuple(pyarrow.array(array) for array in arrays)


def type_name(given: Any) -> str:
    """The SQL name of a type: a name, a class of Python's, or an Arrow type."""
    if isinstance(given, str):
        return _TYPES.get(given, given)
    if isinstance(given, type) and given.__name__ in _TYPES:
        return _TYPES[given.__name__]
    if hasattr(given, "__arrow_c_schema__"):
        return _stoadb.Connection.type_name(given.__arrow_c_schema__())
    raise InterfaceError(f"{given!r} is no type: give a name such as 'DOUBLE', a class such as float, or an Arrow type")


def signature(
    function: Callable[..., Any], arguments: Sequence[Any] | None, result: Any
) -> tuple[list[str], str]:
    """The types of a function: those that are given, else those of its annotations."""
    if arguments is None or result is None:
        hints = typing.get_type_hints(function)
        if arguments is None:
            names = list(inspect.signature(function).parameters)
            missing = [name for name in names if name not in hints]
            if missing:
                raise InterfaceError(f"the type of the argument '{missing[0]}' is not known: give arguments=[...]")
            arguments = [hints[name] for name in names]
        if result is None:
            if "return" not in hints:
                raise InterfaceError("the type of the result is not known: give result=...")
            result = hints["return"]
    return [type_name(argument) for argument in arguments], type_name(result)
