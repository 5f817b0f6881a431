"""Loading one Parquet file into memory: time and memory of each engine, side by side.

    python3 benches/compare/load.py FILE [--runs 3] [--engines stoadb,duckdb,hyper,chdb,polars,datafusion]

Each engine loads in a process of its own with two threads, `--runs` times in turn with the others; the minimum counts.
Memory is the resident set of the engine's processes (Hyper's server and chDB's threads included) two seconds and one small
query after loading, less what they held before it: allocators give back what was freed with a delay. What each one makes:
StoaDB, DuckDB, DataFusion and chDB (Memory engine) a table in memory; DuckDB also a compressed one in memory; Hyper a
database file on /dev/shm, which counts as memory; Polars a DataFrame.
Needs the packages of requirements.txt and a release build of `load_once` (`cargo build --release -p stoadb-benches`).
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent


def processes(root: int) -> list[int]:
    """A process and its descendants."""
    found = [root]
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == root:
            found += processes(int(entry.name))
    return found


def resident() -> float:
    """MiB that this process and its children hold."""
    total = 0
    for pid in processes(os.getpid()):
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                total += int(line.split()[1])
    return total / 1024


def report(prepare, load, look=None) -> None:
    state = prepare()
    before = resident()
    start = time.perf_counter()
    kept = load(state)
    seconds = time.perf_counter() - start
    time.sleep(2)
    if look:
        look(state)
    extra = kept if isinstance(kept, (int, float)) else 0
    print(json.dumps({"seconds": seconds, "mib": resident() - before + extra}))


def duckdb(path: str, compressed: bool) -> None:
    import duckdb

    def prepare():
        connection = duckdb.connect(config={"threads": 2})
        if compressed:
            connection.execute("ATTACH ':memory:' AS packed (COMPRESS); USE packed")
        return connection

    def load(connection):
        connection.execute(f"CREATE TABLE t AS SELECT * FROM '{path}'")

    report(prepare, load, lambda connection: connection.execute("SELECT * FROM t LIMIT 10000").fetchall())


def hyper(path: str) -> None:
    import tableauhyperapi as api

    folder = tempfile.mkdtemp(dir="/dev/shm")
    file = f"{folder}/t.hyper"
    settings = {"log_config": "", "hard_concurrent_query_thread_limit": "2"}
    process = api.HyperProcess(api.Telemetry.DO_NOT_SEND_USAGE_DATA_TO_TABLEAU, parameters=settings)
    mode = api.CreateMode.CREATE_AND_REPLACE
    connection = api.Connection(process.endpoint, file, mode)

    def load(_):
        connection.execute_command(f"CREATE TABLE t AS (SELECT * FROM external('{path}', FORMAT => 'parquet'))")
        # The file is mapped shared, so that it does not count as anonymous memory: add it.
        return os.path.getsize(file) / 2**20

    report(lambda: None, load)
    connection.close()
    process.close()
    os.remove(file)
    os.rmdir(folder)


def chdb(path: str) -> None:
    from chdb import session

    def prepare():
        connection = session.Session()
        connection.query("SET max_threads = 2")
        connection.query("CREATE DATABASE IF NOT EXISTS d")
        return connection

    def load(connection):
        connection.query(f"CREATE TABLE d.t ENGINE = Memory AS SELECT * FROM file('{path}', Parquet)")

    report(prepare, load)


def polars(path: str) -> None:
    import polars

    kept = []
    report(lambda: None, lambda _: kept.append(polars.read_parquet(path)), lambda _: kept[0].head(10000).rows())


def datafusion(path: str) -> None:
    import datafusion

    def prepare():
        context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(2))
        context.register_parquet("file", path)
        return context

    report(prepare, lambda context: context.sql("CREATE TABLE t AS SELECT * FROM file").collect() and None)


ENGINES = {
    "duckdb": lambda path: duckdb(path, False),
    "duckdb-compressed": lambda path: duckdb(path, True),
    "hyper": hyper,
    "chdb": chdb,
    "polars": polars,
    "datafusion": datafusion,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--engines", default=",".join(["stoadb", *ENGINES]))
    parser.add_argument("--only", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        ENGINES[args.only](args.file)
        return
    best: dict[str, list[dict]] = {engine: [] for engine in args.engines.split(",")}
    for _ in range(args.runs):
        for engine, found in best.items():
            own = [str(ROOT / "target/release/load_once"), args.file]
            peer = [sys.executable, __file__, args.file, "--only", engine]
            # The peers cap their threads themselves; the process is bound to two cores for those that do not.
            environment = {**os.environ, "POLARS_MAX_THREADS": "2", "RAYON_NUM_THREADS": "2"}
            result = subprocess.run(
                own if engine == "stoadb" else peer, stdout=subprocess.PIPE, text=True, env=environment
            )
            if result.returncode == 0:
                found.append(json.loads(result.stdout.strip().splitlines()[-1]))
    base = best.get("duckdb") or []
    seconds = {engine: min(run["seconds"] for run in runs) for engine, runs in best.items() if runs}
    mib = {engine: min(run["mib"] for run in runs) for engine, runs in best.items() if runs}
    print("| engine | seconds | of DuckDB's | MiB | of DuckDB's |\n|---|---|---|---|---|")
    for engine in best:
        if engine not in seconds:
            print(f"| {engine} | failed | | | |")
            continue
        ratios = [""] * 2 if not base else [
            f"{seconds[engine] / seconds['duckdb']:.2f}", f"{mib[engine] / mib['duckdb']:.2f}"
        ]
        print(f"| {engine} | {seconds[engine]:.1f} | {ratios[0]} | {mib[engine]:.0f} | {ratios[1]} |")


if __name__ == "__main__":
    main()
