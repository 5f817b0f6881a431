"""Indexes side by side: StoaDB's, DuckDB's ART, SQLite's, PostgreSQL's, chDB's MergeTree, Polars' sorted frames, and scans.

    python3 benches/compare/index.py [--sizes 1000000,10000000] [--jobs questions,build,even] [--engines stoadb,duckdb,...] [--minutes 12]

Jobs: `questions` asks every engine the same, then again after a tenth of the rows was deleted here and there and a fifth
inserted, so that indexes wait to be merged, and measures inserts and deletes; `build` measures building by type of key;
`even` looks for the size of table from which on the index is as fast as a scan. Prints tables in Markdown.
Every engine runs in a process of its own with two threads and times its own calls: no call crosses a process. Answers are
compared before a time is shown. An engine that takes longer than its limit loses what it had not told until then.
Needs the packages of requirements.txt, `cargo build --release -p stoadb-benches --bin index_peer`, and, for PostgreSQL (at
10^7 rows, private cluster, stopped at the end), Debian's package. The default sizes take ten minutes; for 100000000 rows
give `--sizes 100000000 --minutes 60` and 20 GB.
"""

import argparse
import json
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time

from index_peers import ENGINES, QUESTIONS, STRIDE, Duckdb, Stoadb

CHANGED = ["stoadb", "duckdb", "duckdb-art", "sqlite"]
BATCHES = [1, 100, 10_000]
EVEN_SIZES = [100, 300, 1000, 3000, 10_000, 30_000, 100_000, 300_000, 1_000_000]
EVEN = [("count(*)", "count"), ("count, sum, avg, stddev", "moments"), ("median of the key", "median_k"), ("median of an included column", "median_p")]
# Name, columns, columns of the key; h is a permutation of the numbers below the number of rows.
TYPES = [
    ("BIGINT", "h AS k", "k"),
    ("INTEGER", "h::INTEGER AS k", "k"),
    ("DOUBLE", "h / 7e0 AS k", "k"),
    ("DATE, 20,000 values", "DATE '1990-01-01' + (h % 20000)::INTEGER AS k", "k"),
    ("TIMESTAMP", "make_timestamp(h * 1000003) AS k", "k"),
    ("VARCHAR, common beginnings", "'https://www.example.com/items/' || lpad(h::VARCHAR, 9, '0') AS k", "k"),
    ("(INTEGER, BIGINT)", "(h % 1000)::INTEGER AS j, h AS k", "j, k"),
]


# When everything is to be over, in seconds of the clock.
DEADLINE = time.time() + 12 * 60


def limit_of(rows: int) -> int:
    """Seconds that an engine has for a size."""
    return 35 if rows <= 1_000_000 else 110 if rows <= 10_000_000 else 900


def emit(**found) -> None:
    print(json.dumps(found), flush=True)


def pairs_of(rows: int, percent: int) -> list:
    width = max(rows * percent // 100, 1)
    numbers = random.Random(percent)
    lows = [numbers.randrange(rows - width + 1) for _ in range(300)]
    return [(low, low + width) for low in lows]


def ask_all(engine, stage: str, rows: int) -> None:
    seconds = 0.2 if rows <= 1_000_000 else 0.3
    for at, (_, percent, kind) in enumerate(QUESTIONS):
        emit(stage=stage, at=at, **engine.ask(kind, pairs_of(rows, percent), seconds, 300))


def questions(name: str, rows: int) -> None:
    """One engine, in its own process."""
    engine = ENGINES[name][1](rows)
    try:
        start = time.perf_counter()
        found = engine.load()
        emit(stage="load", seconds=time.perf_counter() - start, **found)
        ask_all(engine, "first", rows)
        start = time.perf_counter()
        note = engine.change()
        emit(stage="change", seconds=time.perf_counter() - start, note=note)
        ask_all(engine, "again", rows)
        for insert in (True, False) if name in CHANGED else ():
            for at, batch in enumerate(BATCHES):
                begin = rows * (at + 2) if insert else rows * at // len(BATCHES)
                emit(stage="rate", insert=insert, batch=batch, rate=engine.rate(insert, batch, 0.7, begin))
    finally:
        engine.close()


def even(name: str, _: int) -> None:
    for rows in EVEN_SIZES:
        engine = ENGINES[name][1](rows)
        try:
            engine.load()
            for way in ("index", "scan") if name == "stoadb" else ("scan",):
                if name == "stoadb":
                    engine.tell("sql", f"SET access_path = '{way}'")
                for question, kind in EVEN:
                    found = engine.ask(kind, pairs_of(rows, 10), 0.12, 200)
                    emit(rows=rows, way=way, question=question, p50=found["p50"], answers=found["answers"])
        finally:
            engine.close()


def build(name: str, rows: int) -> None:
    engine = Stoadb(rows) if name == "stoadb" else Duckdb(rows) if name == "duckdb" else None
    for at, (ty, columns, key) in enumerate(TYPES):
        source = f"(SELECT i * {STRIDE} % {rows} AS h FROM range({rows}) r(i))"
        create, index = f"CREATE TABLE b AS SELECT {columns} FROM {source}", f"CREATE INDEX b_k ON b ({key})"
        if name == "stoadb":
            engine.tell("sql", create)
            seconds, peak = map(float, engine.tell("sql", index))
            size = float(engine.tell("rows", "SELECT bytes FROM index_info('b_k')")[0].split(";")[0])
            emit(at=at, seconds=seconds, bytes=size, peak=peak)
            engine.tell("sql", "DROP TABLE b")
        elif name == "duckdb":
            engine.connection.execute(create)
            before, start = engine.art_bytes(), time.perf_counter()
            engine.connection.execute(index)
            emit(at=at, seconds=time.perf_counter() - start, bytes=engine.art_bytes() - before)
            engine.connection.execute("DROP TABLE b")
        else:
            emit(at=at, seconds=numpy_sort(ty, rows))
    if engine:
        engine.close()


def numpy_sort(ty: str, rows: int) -> float:
    import numpy

    h = numpy.arange(rows, dtype=numpy.int64) * STRIDE % rows
    if ty.startswith("VARCHAR"):
        column = numpy.char.add(b"https://www.example.com/items/", numpy.char.zfill(h.astype("S9"), 9))
    else:
        makers = {"INTEGER": lambda: h.astype("i4"), "DOUBLE": lambda: h / 7.0, "DATE": lambda: (h % 20000).astype("i4")}
        column = makers.get(ty.split(",")[0], lambda: h)()
    start = time.perf_counter()
    if ty.startswith("("):
        numpy.lexsort((h, (h % 1000).astype("i4")))
    else:
        numpy.sort(column)
    return time.perf_counter() - start


def child(job: str, name: str, rows: int, limit: float) -> list[dict]:
    """What an engine told until it was done or out of time."""
    limit = min(limit, DEADLINE - time.time())
    if limit < 1:
        return []
    command = [sys.executable, "-W", "ignore", __file__, "--only", name, "--job", job, "--rows", str(rows)]
    # Peers that keep files keep them in memory; what they leave there goes with the folder.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(dir=memory, ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o711)
        output = run(command, {"TMPDIR": folder}, limit)
    found = []
    for line in output.splitlines():
        if line.startswith("{") and line.endswith("}"):
            found.append(json.loads(line))
    return found


def run(command: list[str], variables: dict, limit: float) -> str:
    """What a process printed until it ended or its time was up."""
    threads = {"POLARS_MAX_THREADS": "2", "RAYON_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"}
    environment = {**os.environ, **threads, **variables}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True)
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.terminate()
        try:
            output, _ = process.communicate(timeout=8)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
    return output


def same(left: list, right: list) -> bool:
    """Whether two engines gave the same answers, as far as both gave some."""
    for rows, others in zip(left, right):
        if len(rows) != len(others):
            return False
        for row, other in zip(sorted(rows), sorted(others)):
            close = (math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9) for a, b in zip(row, other, strict=True))
            if not all(close):
                return False
    return True


def shown(microseconds: float) -> str:
    for unit, size in (("us", 1), ("ms", 1e3)):
        if microseconds < 1000 * size:
            value = microseconds / size
            return f"{value:.{0 if value >= 100 else 1}f} {unit}"
    return f"{microseconds / 1e6:.2f} s"


def times(results: dict, stage: str, names: list[str]) -> bool:
    """One table of questions; whether all answers agree."""
    print("| question | " + " | ".join(f"{ENGINES[name][0]}" for name in names) + " |")
    print("|---" * (len(names) + 1) + "|")
    agree = True
    for at, (question, _, _) in enumerate(QUESTIONS):
        cells = {}
        for name in names:
            cells[name] = next((f for f in results[name] if f["stage"] == stage and f["at"] == at), None)
        judge = next((cells[name] for name in ("duckdb", *names) if cells.get(name)), None)
        own, texts = cells.get("stoadb"), []
        for name in names:
            cell = cells[name]
            if cell is None:
                texts.append("out of time")
            elif not same(judge["answers"], cell["answers"]):
                agree = False
                texts.append("another answer")
                print(f"{question}: {name} answers {cell['answers'][:1]}", file=sys.stderr)
            else:
                ratio = "" if name == "stoadb" or not own else f" ({cell['p50'] / own['p50']:.3g}x)"
                texts.append(f"{shown(cell['p50'])} / {shown(cell['p99'])}{ratio}")
        print(f"| {question} | " + " | ".join(texts) + " |")
    return agree


def size_report(rows: int, names: list[str]) -> bool:
    names = [name for name in names if name != "postgres" or rows == 10_000_000]
    results = {name: [{"at": -1, **f} for f in child("questions", name, rows, limit_of(rows))] for name in names}
    print(f"\n## {rows:,} rows\n\np50 / p99 of a call, and p50 in StoaDB's.\n")
    agree = times(results, "first", names)
    change = {name: next((f for f in results[name] if f["stage"] == "change"), None) for name in names}
    print("\nAgain after a tenth of the rows was deleted and a fifth inserted, without merging anything on purpose", end="")
    notes = [f"{ENGINES[name][0]}: {f['note']}" for name, f in change.items() if f and f["note"]]
    print(f" ({'; '.join(notes)}).\n")
    agree &= times(results, "again", names)
    print("\n| | " + " | ".join(ENGINES[name][0] for name in names) + " |\n" + "|---" * (len(names) + 1) + "|")
    load = {name: next((f for f in results[name] if f["stage"] == "load"), {}) for name in names}
    for title, key, places in [("table and index made, s", "seconds", 1), ("index alone, s", "index_s", 2), ("index, MiB", "index_mib", 0)]:
        print(f"| {title} | " + " | ".join(f"{load[name][key]:.{places}f}" if key in load[name] else "" for name in names) + " |")
    print("| deletions and insertions, s | " + " | ".join(f"{change[name]['seconds']:.1f}" if change[name] else "" for name in names) + " |")
    changed = [name for name in names if name in CHANGED]
    if changed:
        print("\nRows a second with the index on, one statement or transaction a batch; nothing is durable in any of them (all in memory).\n")
        print("| | " + " | ".join(ENGINES[name][0] for name in changed) + " |\n" + "|---" * (len(changed) + 1) + "|")
        for insert in (True, False):
            for batch in BATCHES:
                is_it = lambda f: f["stage"] == "rate" and (f["insert"], f["batch"]) == (insert, batch)
                rates = [next((f["rate"] for f in results[name] if is_it(f)), None) for name in changed]
                texts = ["out of time" if rate is None else f"{rate:,.0f}" for rate in rates]
                print(f"| {'inserts' if insert else 'deletes'}, batches of {batch:,} | " + " | ".join(texts) + " |")
    return agree


def build_report(rows: int) -> None:
    names = ["stoadb", "duckdb", "numpy"]
    found = {name: {f["at"]: f for f in child("build", name, rows, 5 * limit_of(rows) // 4)} for name in names}
    print(f"\n## Building, {rows:,} rows in another order than the key's\n")
    print("CREATE INDEX over a table in memory; numpy.sort of the column (lexsort for two), one thread.\n")
    print("| key | StoaDB, s | MiB | bytes an entry | peak of memory, of the index's | DuckDB ART, s | MiB | numpy, s |\n" + "|---" * 8 + "|")
    for at, (ty, _, _) in enumerate(TYPES):
        own, duck, plain = (found[name].get(at) for name in names)
        cells = ["out of time", "", "", ""] if not own else [
            f"{own['seconds']:.2f}", f"{own['bytes'] / 2**20:.0f}", f"{own['bytes'] / rows:.1f}", f"{own['peak'] / own['bytes']:.2f}"]
        cells += ["out of time", ""] if not duck else [f"{duck['seconds']:.2f}", f"{duck['bytes'] / 2**20:.0f}"]
        cells += ["out of time"] if not plain else [f"{plain['seconds']:.2f}"]
        print(f"| {ty} | " + " | ".join(cells) + " |")


def even_report() -> None:
    own, duck = child("even", "stoadb", 0, 60), child("even", "duckdb", 0, 60)
    print("\n## From what size on the index is as fast as a scan\n\nMedian of a call over 10 % of the rows.\n")
    print("| rows | " + " | ".join(f"{question}: index, scan, DuckDB" for question, _ in EVEN) + " |\n" + "|---" * (len(EVEN) + 1) + "|")
    sizes = {question: {"scan": None, "duckdb": None} for question, _ in EVEN}
    for rows in EVEN_SIZES:
        cells = []
        for question, _ in EVEN:
            pick = lambda found, way: next((f for f in found if (f["rows"], f["way"], f["question"]) == (rows, way, question)), None)
            three = [pick(own, "index"), pick(own, "scan"), pick(duck, "scan")]
            for name, other in (("scan", three[1]), ("duckdb", three[2])):
                if three[0] and other and not same(three[0]["answers"], other["answers"]):
                    print(f"{question} over {rows} rows: another answer by {name}", file=sys.stderr)
                if three[0] and other and three[0]["p50"] > 1.05 * other["p50"]:
                    sizes[question][name] = rows
            cells.append(", ".join(shown(f["p50"]) if f else "-" for f in three))
        print(f"| {rows:,} | " + " | ".join(cells) + " |")
    print()
    for question, of in sizes.items():
        texts = []
        for name, title in (("scan", "its own scan"), ("duckdb", "DuckDB's")):
            texts.append(f"{title} up to {of[name]:,} rows" if of[name] else f"{title} nowhere from {EVEN_SIZES[0]} rows on")
        print(f"- {question}: slower, by more than 5 %, than {' and '.join(texts)}.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="1000000,10000000")
    parser.add_argument("--jobs", default="questions,build,even")
    parser.add_argument("--engines", default=",".join(ENGINES))
    parser.add_argument("--minutes", type=int, default=12, help="for everything; engines whose turn comes later are left out")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.only:
        # Engines are closed, servers stopped, when the time is up.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        {"questions": questions, "build": build, "even": even}[args.job](args.only, args.rows)
        return
    global DEADLINE
    DEADLINE = time.time() + args.minutes * 60
    sizes = [int(size) for size in args.sizes.split(",")]
    agree, start = True, time.time()
    for name in args.engines.split(","):
        print(f"- {ENGINES[name][0]}: {ENGINES[name][1].note}")
    for rows in sizes:
        if "questions" in args.jobs:
            agree &= size_report(rows, args.engines.split(","))
    if "build" in args.jobs:
        build_report(max(sizes))
    if "even" in args.jobs:
        even_report()
    print(f"\nAll of it took {time.time() - start:.0f} s.", file=sys.stderr)
    sys.exit(0 if agree else 1)


if __name__ == "__main__":
    main()
