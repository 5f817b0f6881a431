"""StoaDB side by side with other engines: the same queries on the same files, in one run.

    python3 benches/compare/compare.py [tpch|windows] [--sf 1] [--mode memory|parquet] [--runs 5] [--queries 1,3,6] [--markdown]

Each engine runs in its own process: `memory` loads the Parquet files into its own tables first (timed apart), `parquet`
queries the files in place. Each query: one cold run, then the minimum of the hot runs. Answers are compared between the
engines before any time is printed. Needs the packages of requirements.txt and a release build of `sql_times`.
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# Both over the tables of TPC-H.
QUERIES = {"tpch": ROOT / "tests" / "queries" / "tpch", "windows": HERE / "windows"}
TABLES = ["nation", "region", "supplier", "customer", "part", "partsupp", "orders", "lineitem"]
NUMBERS = {"tpch": "1,3,5,6,10,12,14,19", "windows": "1,2,3,4,5,6,7,8,9"}


def generate(scale: str) -> pathlib.Path:
    """TPC-H tables as Parquet files, made once per scale below target/."""
    folder = ROOT / "target" / "compare" / f"tpch-sf{scale}"
    if not (folder / "lineitem.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["tpchgen-cli", "parquet", "-q", "-s", scale, "-o", str(folder)], check=True
        )
    return folder


def run_engine(engine: str, args: argparse.Namespace, folder: pathlib.Path, queries: list[int]) -> dict:
    files = [str(QUERIES[args.workload] / f"q{number:02}.sql") for number in queries]
    options = ["--data", str(folder), "--mode", args.mode, "--runs", str(args.runs)]
    if engine == "stoadb":
        command = [str(ROOT / "target" / "release" / "sql_times"), *options, *files]
    else:
        command = [sys.executable, str(HERE / "peer.py"), engine, *options, *files]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output)


def same(left: list, right: list) -> bool:
    """Whether two answers are equal: as texts, or as numbers within 1e-9 relative."""
    if len(left) != len(right):
        return False
    for row, other in zip(left, right):
        for a, b in zip(row, other, strict=True):
            if a == b:
                continue
            try:
                if not math.isclose(float(a), float(b), rel_tol=1e-9, abs_tol=1e-9):
                    return False
            except (TypeError, ValueError):
                return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("workload", nargs="?", default="tpch", choices=["tpch", "windows"])
    parser.add_argument("--sf", default="1")
    parser.add_argument("--mode", default="memory", choices=["memory", "parquet"])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--queries", default="")
    parser.add_argument("--engines", default="stoadb,duckdb,datafusion")
    args = parser.parse_args()
    queries = [int(number) for number in (args.queries or NUMBERS[args.workload]).split(",")]
    engines = args.engines.split(",")
    folder = generate(args.sf)
    results = {engine: run_engine(engine, args, folder, queries) for engine in engines}

    print(f"{args.workload}, scale {args.sf}, {args.mode}, minimum of {args.runs} hot runs, milliseconds")
    print("load: " + ", ".join(f"{e} {results[e]['load_ms']:.0f} ms" for e in engines))
    print(f"| query | {' | '.join(engines)} | stoadb / best peer | answers |")
    print("|---" * (len(engines) + 3) + "|")
    ratios = []
    for index, number in enumerate(queries):
        runs = [results[engine]["queries"][index] for engine in engines]
        others = [e for e, run in zip(engines, runs) if not same(runs[0]["rows"], run["rows"])]
        times = [min(run["hot_ms"]) for run in runs]
        ratio = times[0] / min(times[1:]) if len(times) > 1 else float("nan")
        ratios.append(ratio)
        cells = " | ".join(f"{time:.1f}" for time in times)
        print(f"| Q{number} | {cells} | {ratio:.2f} | {'differ from ' + ', '.join(others) if others else 'equal'} |")
    print(f"geometric mean of the ratios: {math.exp(sum(map(math.log, ratios)) / len(ratios)):.2f}")


if __name__ == "__main__":
    main()
