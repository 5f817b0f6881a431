"""Writes the golden answers of tests/queries with DuckDB 2.0: the oracle is never StoaDB itself.

    python3 tests/golden/refresh.py        # needs cargo, duckdb==2.0.* and tpchgen-cli==4.* from PyPI

One file per query: a line per row, columns separated by tabs, NULL as \\N.
"""

import pathlib
import subprocess
import sys
import tempfile

import duckdb

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TABLES = ["nation", "region", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def text(value) -> str:
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def ordered(sql: str) -> str:
    """A query whose first line names columns that break its ties, with these behind its own keys."""
    if not sql.startswith("-- ties: "):
        return sql
    ties, body = sql.removeprefix("-- ties: ").split("\n", 1)
    body = body.rstrip().rstrip(";")
    at = body.rfind("\nLIMIT")
    body, limit = (body, "") if at < 0 else (body[:at], body[at:])
    return body + ("," if "\nORDER BY" in body else "\nORDER BY") + " " + ties + limit


def refresh(connection: duckdb.DuckDBPyConnection, workload: str) -> None:
    for query in sorted((ROOT / "tests" / "queries" / workload).glob("*.sql")):
        rows = connection.execute(ordered(query.read_text())).fetchall()
        lines = ["\t".join(map(text, row)) + "\n" for row in rows]
        target = ROOT / "tests" / "golden" / workload / f"{query.stem}.tsv"
        target.parent.mkdir(exist_ok=True)
        target.write_text("".join(lines))


def main() -> None:
    connection = duckdb.connect()
    connection.execute(f"SET file_search_path = '{ROOT}'")
    refresh(connection, "flights")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["tpchgen-cli", "parquet", "-q", "-s", "0.01", "-o", folder], check=True)
        for table in TABLES:
            connection.execute(f"CREATE TABLE {table} AS FROM '{folder}/{table}.parquet'")
        refresh(connection, "tpch")
    connection = duckdb.connect()
    for file in (ROOT / "tests" / "data" / "tpcds").glob("*.parquet"):
        connection.execute(f"CREATE TABLE {file.stem} AS FROM '{file}'")
    refresh(connection, "tpcds")
    connection = duckdb.connect()
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/hits.parquet"
        make = ["cargo", "run", "-q", "-p", "stoadb-benches", "--bin", "make_hits", "60000", file]
        subprocess.run(make, check=True, cwd=ROOT)
        # Parquet has no timestamps in seconds: the file holds numbers.
        times = ["EventTime", "ClientEventTime", "LocalEventTime"]
        casts = ", ".join(f"make_timestamp({time} * 1000000) AS {time}" for time in times)
        made = f"(SELECT * REPLACE ({casts}) FROM '{file}')"
        connection.execute((ROOT / "tests/data/clickbench/hits.sql").read_text().replace("'HITS'", made))
        refresh(connection, "clickbench")


if __name__ == "__main__":
    sys.exit(main())
