"""The claims of the essay "Data-oriented Programming in Python", measured: memory of records as objects and as arrays, and
the speed of statistics over one field.

    python3 benches/compare/essay.py memory|statistics|columns [--rows 10000000] [--runs 5]

Every figure comes from a process of its own. Memory is the growth of anonymous resident memory per record of five numeric
fields; times are minima. Needs the packages of requirements.txt and `cargo build --release -p stoadb-benches`.
"""

import argparse
import gc
import json
import pathlib
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ESSAY = str(ROOT / "target/release/essay")
COLUMNS = ["id", "time", "status", "price", "reading"]


class Record:
    """An object with a dictionary, as Python programs have them."""

    def __init__(self, id, time, status, price, reading):
        self.id = id
        self.time = time
        self.status = status
        self.price = price
        self.reading = reading


class Slotted:
    """An object with fixed fields."""

    __slots__ = COLUMNS

    def __init__(self, id, time, status, price, reading):
        self.id = id
        self.time = time
        self.status = status
        self.price = price
        self.reading = reading


def resident() -> int:
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no RssAnon")


def columns(folder: pathlib.Path, kind: str) -> dict:
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(folder / f"{kind}.parquet")
    return {name: table[name].to_numpy() for name in COLUMNS}


def python_memory(folder: pathlib.Path, kind: str, layout: str) -> float:
    arrays = columns(folder, kind)
    rows = len(arrays["id"])
    if layout == "numpy":
        before = resident()
        kept = {name: array.copy() for name, array in arrays.items()}
        return (resident() - before) / len(kept["id"])
    make = {"python objects": Record, "python slots": Slotted}[layout]
    before = resident()
    kept = []
    for at in range(0, rows, 100_000):
        part = [arrays[name][at : at + 100_000].tolist() for name in COLUMNS]
        kept += [make(*fields) for fields in zip(*part)]
    gc.collect()
    return (resident() - before) / len(kept)


def statistics_of(values, package: str):
    """Functions by name over one array."""
    import math

    if package == "python":
        values = values.tolist()

        def mean():
            total = 0
            for value in values:
                total += value
            return total / len(values)

        def deviation():
            average = mean()
            squares = 0.0
            for value in values:
                squares += (value - average) * (value - average)
            return math.sqrt(squares / (len(values) - 1))

        def total():
            sum = 0
            for value in values:
                sum += value
            return sum

        def least():
            best = values[0]
            for value in values:
                if value < best:
                    best = value
            return best

        def greatest():
            best = values[0]
            for value in values:
                if value > best:
                    best = value
            return best

        return {"sum": total, "avg": mean, "stddev": deviation, "min": least, "max": greatest}
    if package == "numpy":
        return {
            "sum": values.sum,
            "avg": values.mean,
            "stddev": lambda: values.std(ddof=1),
            "min": values.min,
            "max": values.max,
        }
    if package == "numexpr":
        import numexpr

        def of(expression, average=None):
            return numexpr.evaluate(expression, local_dict={"values": values, "average": average})

        def deviation():
            average = of("sum(values)") / len(values)
            return math.sqrt(of("sum((values - average) * (values - average))", average) / (len(values) - 1))

        return {
            "sum": lambda: of("sum(values)"),
            "avg": lambda: of("sum(values)") / len(values),
            "stddev": deviation,
            "min": lambda: of("min(values)"),
            "max": lambda: of("max(values)"),
        }
    if package == "numba":
        import numba

        @numba.njit(fastmath=True)
        def total(values):
            sum = values[0] - values[0]
            for value in values:
                sum += value
            return sum

        @numba.njit(fastmath=True)
        def deviation(values):
            average = total(values) / len(values)
            squares = 0.0
            for value in values:
                squares += (value - average) * (value - average)
            return math.sqrt(squares / (len(values) - 1))

        @numba.njit(fastmath=True)
        def least(values):
            best = values[0]
            for value in values:
                best = min(best, value)
            return best

        @numba.njit(fastmath=True)
        def greatest(values):
            best = values[0]
            for value in values:
                best = max(best, value)
            return best

        return {
            "sum": lambda: total(values),
            "avg": lambda: total(values) / len(values),
            "stddev": lambda: deviation(values),
            "min": lambda: least(values),
            "max": lambda: greatest(values),
        }
    import jax

    jax.config.update("jax_enable_x64", True)
    array = jax.numpy.asarray(values)
    run = {
        "sum": jax.jit(lambda a: a.sum()),
        "avg": jax.jit(lambda a: a.mean()),
        "stddev": jax.jit(lambda a: a.std(ddof=1)),
        "min": jax.jit(lambda a: a.min()),
        "max": jax.jit(lambda a: a.max()),
    }
    return {name: (lambda f=f: f(array).block_until_ready()) for name, f in run.items()}


def python_statistics(folder: pathlib.Path, kind: str, package: str, runs: int) -> dict:
    arrays = columns(folder, kind)
    found = {}
    for column in ["price", "reading"]:
        for name, function in statistics_of(arrays[column].copy(), package).items():
            function()
            times = []
            for _ in range(1 if package == "python" else runs):
                start = time.perf_counter()
                function()
                times.append(time.perf_counter() - start)
            found[f"{name}({column})"] = min(times)
    return found


def child(*args: str):
    command = list(args) if args[0] == ESSAY else [sys.executable, __file__, *args]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.strip().splitlines()[-1])


def data(rows: int) -> pathlib.Path:
    folder = ROOT / "target" / "compare" / f"essay-{rows}"
    if not (folder / "typical.parquet").exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run([ESSAY, "data", str(folder), str(rows)], check=True)
    return folder


def memory(args: argparse.Namespace) -> None:
    folder = data(args.rows)
    print("| layout | random: bytes per record | typical: bytes per record |\n|---|---|---|")
    for layout in ["python objects", "python slots", "numpy"]:
        found = [child("one-memory", "--folder", str(folder), "--kind", kind, "--layout", layout) for kind in ["random", "typical"]]
        print(f"| {layout} | {found[0]:.1f} | {found[1]:.1f} |")
    for layout, name in [("boxed", "Rust, boxed fields"), ("plain", "StoaDB, plain columns"), ("encoded", "StoaDB, encoded table")]:
        found = [child(ESSAY, "memory", str(folder), kind, layout) for kind in ["random", "typical"]]
        texts = [f"{f['bytes_per_record']:.1f}" + (f" (stored {f['stored']:.1f})" if f["stored"] else "") for f in found]
        print(f"| {name} | {texts[0]} | {texts[1]} |")


def statistics(args: argparse.Namespace) -> None:
    folder = data(args.rows)
    own = child(ESSAY, "statistics", str(folder), "typical", str(args.runs))
    packages = ["python", "numpy", "numexpr", "numba", "jax"]
    peers = {
        package: child("one-statistics", "--folder", str(folder), "--kind", "typical", "--package", package, "--runs", str(args.runs))
        for package in packages
    }
    print("Milliseconds (and how many times faster than a Python loop).\n")
    print("| statistic | " + " | ".join([*packages, "StoaDB scan, 1 thread", "2 threads", "StoaDB block statistics"]) + " |")
    print("|---" * (len(packages) + 4) + "|")
    for name, (known, one, two) in own.items():
        base = peers["python"][name]
        times = [*(peers[package][name] for package in packages), one, two, known]
        print(f"| {name} | " + " | ".join(f"{t * 1e3:.3g} ({base / t:.0f}x)" for t in times) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=["memory", "statistics", "columns", "one-memory", "one-statistics"])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--kind")
    parser.add_argument("--layout")
    parser.add_argument("--package")
    args = parser.parse_args()
    if args.job == "one-memory":
        print(json.dumps(python_memory(args.folder, args.kind, args.layout)))
    elif args.job == "one-statistics":
        print(json.dumps(python_statistics(args.folder, args.kind, args.package, args.runs)))
    elif args.job == "columns":
        print(json.dumps(child(ESSAY, "columns"), indent=1))
    else:
        {"memory": memory, "statistics": statistics}[args.job](args)


if __name__ == "__main__":
    main()
