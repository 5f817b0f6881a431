"""Fills in or checks the expected answers of `.slt` files with DuckDB 2.0, so that they never come from StoaDB itself.

    python3 tests/slt/oracle.py FILE.slt...            # checks; exit code 1 where an answer differs
    python3 tests/slt/oracle.py --write FILE.slt...    # writes DuckDB's answers into the files

Needs duckdb==2.0.* from PyPI. DuckDB runs with integer division, as StoaDB and PostgreSQL divide. A record after a line
`# oracle: postgres` or `# oracle: standard` has another source, named there, and is left as it is: StoaDB departs from
DuckDB in it (docs/sql.md says where and why). The statements of such a record are still run where DuckDB takes them.
"""

import argparse
import datetime
import decimal
import math
import os
import pathlib
import struct
import sys

import duckdb


def shortest32(value: float) -> str:
    """The shortest digits that name a 32-bit float, which Python holds as a 64-bit one."""
    for digits in range(1, 10):
        short = float(f"{value:.{digits}g}")
        if math.isinf(value) or struct.unpack("f", struct.pack("f", short))[0] == value:
            return repr(short)
    return repr(value)


def text(value, kind: str = "") -> str:
    """A value as the harness prints it."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        if math.isnan(value):
            return "nan"
        return shortest32(value) if kind == "FLOAT" else repr(value)
    if isinstance(value, decimal.Decimal):
        return format(value, "f")
    if isinstance(value, datetime.datetime):
        printed = value.strftime("%Y-%m-%d %H:%M:%S")
        return printed + (f".{value.microsecond:06}".rstrip("0") if value.microsecond else "")
    if isinstance(value, datetime.time):
        printed = value.strftime("%H:%M:%S")
        return printed + (f".{value.microsecond:06}".rstrip("0") if value.microsecond else "")
    if isinstance(value, bytes):
        return "\\x" + value.hex()
    return str(value) or "(empty)"


def answer(connection: duckdb.DuckDBPyConnection, sql: str, sort: str) -> list[str]:
    result = connection.execute(sql)
    kinds = [str(column[1]) for column in result.description]
    if any(kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "INTERVAL")) for kind in kinds):
        result = connection.execute(f"SELECT CAST(COLUMNS(*) AS VARCHAR) FROM ({sql})")
    rows = [" ".join(" ".join(map(text, row, kinds)).split()) for row in result.fetchall()]
    if sort == "rowsort":
        rows.sort()
    return rows


def process(path: pathlib.Path, write: bool) -> list[str]:
    """Checks one file and, if asked, writes it; returns what differs."""
    connection = duckdb.connect()
    connection.execute("SET integer_division = true; SET TimeZone = 'UTC'")
    problems, output, trusted = [], [], False
    lines = path.read_text().split("\n")
    at = 0
    while at < len(lines):
        line = lines[at]
        output.append(line)
        at += 1
        if line.startswith("# oracle:"):
            trusted = True
            continue
        words = line.split()
        if not words or words[0] not in ("statement", "query"):
            continue
        start = at
        while at < len(lines) and lines[at].strip() and lines[at] != "----":
            at += 1
        body = lines[start:at]
        sql = "\n".join(body)
        output += body
        where = f"{path}:{start}"
        if words[0] == "statement":
            while at < len(lines) and lines[at].strip():
                output.append(lines[at])
                at += 1
            expects_error = words[1] == "error"
            try:
                connection.execute(sql)
                if expects_error and not trusted:
                    problems.append(f"{where}: DuckDB takes this")
            except duckdb.Error as error:
                if not expects_error and not trusted:
                    problems.append(f"{where}: {error}")
        elif len(words) > 1 and words[1] == "error":
            pass
        else:
            expected = []
            if at < len(lines) and lines[at] == "----":
                at += 1
                while at < len(lines) and lines[at].strip():
                    expected.append(lines[at])
                    at += 1
            actual = expected
            if not trusted:
                try:
                    actual = answer(connection, sql, words[2] if len(words) > 2 else "nosort")
                except duckdb.Error as error:
                    problems.append(f"{where}: {error}")
            if not trusted and actual != [" ".join(row.split()) for row in expected]:
                problems.append(f"{where}: DuckDB answers {actual}, the file says {expected}")
            output += ["----", *(actual if write else expected)]
        trusted = False
    if write:
        path.write_text("\n".join(output))
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    args.files = [file.resolve() for file in args.files]
    # Where the harness runs: paths in statements count from here.
    os.chdir(pathlib.Path(__file__).resolve().parent.parent)
    problems = [problem for file in args.files for problem in process(file, args.write)]
    print("\n".join(problems))
    print(f"{len(args.files)} files, {len(problems)} differences")
    return 1 if problems and not args.write else 0


if __name__ == "__main__":
    sys.exit(main())
