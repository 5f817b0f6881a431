"""Writes the TPC-DS tables of the tests, at scale 0.01, as Parquet files beside this one.

    python3 tests/data/tpcds/make.py    # needs duckdb==1.5.5 and duckdb-extension-tpcds==1.5.5 from PyPI
"""

import importlib.resources
import pathlib

import duckdb

FOLDER = pathlib.Path(__file__).resolve().parent


def main() -> None:
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    package = pathlib.Path(str(importlib.resources.files("duckdb_extension_tpcds")))
    extension = next(package.glob("extensions/*/tpcds.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")
    connection.execute("CALL dsdgen(sf = 0.01)")
    for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
        file = FOLDER / f"{table}.parquet"
        connection.execute(f"COPY {table} TO '{file}' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 19)")


if __name__ == "__main__":
    main()
