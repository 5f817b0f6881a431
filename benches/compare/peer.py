"""Times queries on one peer engine; prints JSON. Called by compare.py."""

import argparse
import json
import pathlib
import time

TABLES = ["nation", "region", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]


def duckdb_engine(data: pathlib.Path, mode: str):
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2")
    kind = "TABLE" if mode == "memory" else "VIEW"
    for table in TABLES:
        connection.execute(f"CREATE {kind} {table} AS SELECT * FROM '{data / table}.parquet'")
    return lambda sql: connection.execute(sql).to_arrow_table()


def datafusion_engine(data: pathlib.Path, mode: str):
    import datafusion
    import pyarrow.parquet

    context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(2))
    for table in TABLES:
        path = str(data / f"{table}.parquet")
        if mode == "memory":
            batches = pyarrow.parquet.read_table(path).to_batches(max_chunksize=65536)
            context.register_record_batches(table, [batches[0::2], batches[1::2]])
        else:
            context.register_parquet(table, path)
    return lambda sql: context.sql(sql).to_arrow_table()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("engine", choices=["duckdb", "datafusion"])
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--mode")
    parser.add_argument("--runs", type=int)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    args = parser.parse_args()
    start = time.perf_counter()
    query = {"duckdb": duckdb_engine, "datafusion": datafusion_engine}[args.engine](args.data, args.mode)
    report = {"load_ms": (time.perf_counter() - start) * 1e3, "queries": []}
    for file in args.files:
        sql = file.read_text().strip().rstrip(";")
        times = []
        for _ in range(args.runs + 1):
            start = time.perf_counter()
            table = query(sql)
            times.append((time.perf_counter() - start) * 1e3)
        rows = [[None if v is None else str(v) for v in row.values()] for row in table.to_pylist()]
        report["queries"].append({"cold_ms": times[0], "hot_ms": times[1:], "rows": rows})
    print(json.dumps(report))


if __name__ == "__main__":
    main()
