"""Rows as a table of text or HTML."""

from __future__ import annotations

import html
import sys
import time
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

_CELL_MAX = 40


def _text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(str(value).split("\n"))


def _width(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


def _cut(text: str) -> str:
    return text if len(text) <= _CELL_MAX else text[: _CELL_MAX - 3] + "..."


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def text_table(columns: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]], more: bool) -> str:
    """The rows under their columns' names and types."""
    if not columns:
        return "(no columns)"
    cells = [[_cut(_text(value)) for value in row] for row in rows]
    heads = [[_cut(_text(name)) for name in columns], [_cut(name.lower()) for name in types]]
    widths = [max(_width(row[at]) for row in heads + cells) for at in range(len(columns))]
    right = [any(_is_number(row[at]) for row in rows) for at in range(len(columns))]

    def line(row: Sequence[str]) -> str:
        padded = []
        for text, width, to_right in zip(row, widths, right):
            space = " " * (width - _width(text))
            padded.append(space + text if to_right else text + space)
        return " | ".join(padded).rstrip()

    rule = "-+-".join("-" * width for width in widths)
    count = f"({len(rows)} rows, there are more)" if more else f"({len(rows)} row{'s' * (len(rows) != 1)})"
    return "\n".join([*map(line, heads), rule, *map(line, cells), count])


def html_table(columns: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[Any]], more: bool) -> str:
    """The rows as an HTML table."""

    def cell(tag: str, text: str) -> str:
        return f"<{tag}>{html.escape(text)}</{tag}>"

    head = "".join(
        f"<th>{html.escape(_text(name))}<br><small>{html.escape(kind.lower())}</small></th>"
        for name, kind in zip(columns, types)
    )
    body = "".join("<tr>" + "".join(cell("td", _cut(_text(value))) for value in row) + "</tr>" for row in rows)
    note = f"{len(rows)} rows, there are more" if more else f"{len(rows)} row{'s' * (len(rows) != 1)}"
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><small>{note}</small>"
    )


class Bar:
    """A progress bar on the terminal or in a notebook: called with rows done and rows in all, at the end with nothing."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def __call__(self, done: int | None = None, total: int | None = None) -> None:
        if done is None or total is None:
            sys.stderr.write("\r\x1b[K")
        else:
            share = min(done / total, 1.0) if total else 0.0
            filled = int(30 * share)
            seconds = time.monotonic() - self._start
            sys.stderr.write(f"\r[{'#' * filled}{'.' * (30 - filled)}] {share:4.0%} {seconds:.0f} s")
        sys.stderr.flush()


def bar(wanted: bool | None) -> Callable[..., None] | None:
    """A progress bar, if it is wanted; where nothing is said, if somebody looks at the output as it comes."""
    if wanted is None:
        wanted = sys.stderr.isatty() if hasattr(sys.stderr, "isatty") else False
    return Bar() if wanted else None
