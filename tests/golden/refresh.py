"""Writes the golden answers of tests/queries with DuckDB 2.0: the oracle is never StoaDB itself.

    python3 tests/golden/refresh.py        # needs duckdb==2.0.* and tpchgen-cli==4.* from PyPI

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


def refresh(connection: duckdb.DuckDBPyConnection, workload: str) -> None:
    for query in sorted((ROOT / "tests" / "queries" / workload).glob("*.sql")):
        rows = connection.execute(query.read_text()).fetchall()
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


if __name__ == "__main__":
    sys.exit(main())
