"""What a call from Python costs, beside DuckDB's package: point queries, fetching of results, memory over many queries.

    python3 benches/compare/calls.py [--rows 10000000] [--queries 100000]

Needs the packages stoadb (`pip install ./python`), duckdb, pyarrow, numpy and pandas. Both engines run in one process, one after
the other, in turn. Point queries have another parameter at every call; their time is the median. A fetch is the least of three
runs. Prints a table in Markdown.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

import stoadb

TABLE = """CREATE TABLE t AS SELECT i AS k, (i * 7919) % 1000003 AS a, i / 3e0 AS x, (i % 1000)::INTEGER AS b,
'customer ' || (i % 5000) AS name FROM range({rows}) r(i)"""
POINT = "SELECT a FROM t WHERE k = ?"


def resident() -> int:
    """The process's memory in KiB."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


def point(con, rows: int, calls: int) -> float:
    times = []
    for call in range(calls):
        key = call * 7919 % rows
        start = time.perf_counter()
        found = con.execute(POINT, [key]).fetchone()
        times.append(time.perf_counter() - start)
        assert found == (key * 7919 % 1000003,)
    return statistics.median(times) * 1e6


def least(run: Callable[[], int], rows: int) -> float:
    times = []
    for _ in range(3):
        gc.collect()
        start = time.perf_counter()
        found = run()
        times.append(time.perf_counter() - start)
        assert found == rows
    return min(times) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--queries", type=int, default=100_000)
    args = parser.parse_args()
    rows = args.rows
    ours, theirs = stoadb.connect(), duckdb.connect()
    for con in (ours, theirs):
        con.execute(TABLE.format(rows=rows))
        con.execute("CREATE INDEX t_k ON t (k)")
    lines = [("point query, us", point(ours, rows, 10_000), point(theirs, rows, 1000))]
    query = "SELECT * FROM t"
    numeric = "SELECT k, a, x, b, k + a AS c FROM t"
    fetches: list[tuple[str, Callable[[], int], Callable[[], int]]] = [
        ("to Arrow, ms", lambda: ours.execute(query).arrow().num_rows, lambda: theirs.execute(query).to_arrow_table().num_rows),
        ("to pandas, ms", lambda: len(ours.execute(query).df()), lambda: len(theirs.execute(query).df())),
        (
            "5 numbers to Arrow, ms",
            lambda: ours.execute(numeric).arrow().num_rows,
            lambda: theirs.execute(numeric).to_arrow_table().num_rows,
        ),
        (
            "5 numbers to NumPy, ms",
            lambda: len(ours.execute(numeric).numpy()["k"]),
            lambda: len(theirs.execute(numeric).fetchnumpy()["k"]),
        ),
        ("5 numbers to pandas, ms", lambda: len(ours.execute(numeric).df()), lambda: len(theirs.execute(numeric).df())),
    ]
    for name, mine, other in fetches:
        lines.append((f"{rows:,} rows {name}", least(mine, rows), least(other, rows)))
    print("| | StoaDB | DuckDB | ratio |")
    print("|---|---|---|---|")
    for name, mine, other in lines:
        print(f"| {name} | {mine:,.1f} | {other:,.1f} | {mine / other:.2f} |")
    theirs.close()
    memory = []
    for part in range(10):
        for call in range(args.queries // 10):
            key = (part * args.queries + call) * 7919 % rows
            assert ours.execute(POINT, [key]).fetchone() is not None
        gc.collect()
        memory.append(resident() // 1024)
    print(f"\nResident memory in MiB after each tenth of {args.queries:,} queries: {', '.join(map(str, memory))}")


if __name__ == "__main__":
    main()
