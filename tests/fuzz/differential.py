"""Random queries against DuckDB 2.0 and SQLite: `python3 tests/fuzz/differential.py --server target/debug/sql_lines`.

Every answer of StoaDB is compared with the peer's: as a list where ORDER BY names every column, as a multiset otherwise;
whole numbers, decimals, texts, dates and booleans exactly, doubles within 1e-9 relative (-0.0 is 0.0, NaN is NaN). Where
one side fails the other has to fail, too; what StoaDB refuses by name is counted apart. Exit code 1 when anything differs; the report
names the seed, and `--seed N --rounds 1` runs it again. Needs duckdb==2.0.* from PyPI.
"""

import argparse
import collections
import datetime
import decimal
import math
import pathlib
import re
import sqlite3
import subprocess
import sys
import threading
import time

import duckdb

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from generator import Generator  # noqa: E402

# Errors of peers that say nothing about StoaDB: what they cannot plan.
PEER_LIMITS = [
    r"Not implemented", r"not supported", r"unsupported", r"Unimplemented", r"INTERNAL Error", r"non-inner join",
    r"misuse of aggregate", r"no such function", r"near \"", r"Nested lateral", r"misuse of window",
]


# A query over a few rows that takes longer is a difference, too.
SECONDS_MAX = 20
HANG_SECONDS = 60


class Server:
    """StoaDB in a process of its own."""

    def __init__(self, path):
        self.path = path
        self.start()

    def start(self):
        self.process = subprocess.Popen([self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8")

    def run(self, sql):
        """The rows and types, or the kind and message of the error; a process that hangs is ended."""
        hang = threading.Timer(HANG_SECONDS, self.process.kill)
        hang.start()
        try:
            return self.answer(sql)
        finally:
            hang.cancel()

    def answer(self, sql):
        self.process.stdin.write(sql + "\n")
        self.process.stdin.flush()
        rows, types, error = [], [], None
        while True:
            line = self.process.stdout.readline()
            if not line:
                self.start()
                return None, None, ("Crash", "the process ended, or was ended after a minute")
            fields = line.rstrip("\n").split("\t")
            if fields[0] == ".":
                return rows, types, error
            if fields[0] == "T":
                types = fields[1:]
            elif fields[0] == "R":
                rows.append(fields[1:])
            else:
                error = (fields[1], fields[2])


def unescaped(text):
    return re.sub(r"\\(.)", lambda m: {"t": "\t", "n": "\n", "r": "\r"}.get(m[1], m[1]), text)


def ours(text, kind):
    """A value of StoaDB in the form that values are compared in."""
    if text == "\\N":
        return None
    if kind.startswith("Float"):
        return number(float(text))
    if kind.startswith(("Int", "UInt")):
        return int(text)
    if kind.startswith("Decimal"):
        return normal(decimal.Decimal(text))
    if kind == "Boolean":
        return text == "true"
    if kind.startswith("Timestamp"):
        return text[:26].rstrip("0").rstrip(".") if "." in text else text
    return unescaped(text)


def normal(value):
    return int(value) if value == value.to_integral_value() else value


def number(value):
    return "nan" if math.isnan(value) else value + 0.0


def theirs(value):
    """A value of a peer in that form."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, float):
        return number(value)
    if isinstance(value, decimal.Decimal):
        return normal(value)
    if isinstance(value, datetime.datetime):
        text = f"{value.year:04}-{value.month:02}-{value.day:02} {value.hour:02}:{value.minute:02}:{value.second:02}"
        return text + (f".{value.microsecond:06}".rstrip("0") if value.microsecond else "")
    if isinstance(value, datetime.date):
        return f"{value.year:04}-{value.month:02}-{value.day:02}"
    return value


def same(a, b):
    if a is None or b is None or isinstance(a, str) or isinstance(b, str):
        return a == b and type(a) is type(b)
    if isinstance(a, float) or isinstance(b, float):
        a, b = float(a), float(b)
        return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))
    return a == b


def key(row):
    """Sorts rows so that equal ones meet: numbers by magnitude of few digits, as doubles may differ a little."""
    parts = []
    for value in row:
        if isinstance(value, (int, float, decimal.Decimal)):
            parts.append((1, float(f"{float(value):.6g}") + 0.0, ""))
        else:
            parts.append((0 if value is None else 2, 0.0, str(value)))
    return parts


def matches(mine, peer, ordered):
    if len(mine) != len(peer):
        return False
    if not ordered:
        mine, peer = sorted(mine, key=key), sorted(peer, key=key)
    return all(len(a) == len(b) and all(map(same, a, b)) for a, b in zip(mine, peer))


def surplus(name, rows, others):
    """The rows that one side has and the other has not."""
    others = [key(row) for row in others]
    found = []
    for row in sorted(rows, key=key):
        if key(row) in others:
            others.remove(key(row))
        else:
            found.append(row)
    return f"{name} alone: {found[:3]} ({len(found)} of {len(rows)} rows); "


class Duck:
    name = "DuckDB"

    def __init__(self):
        self.connection = duckdb.connect()
        self.connection.execute("SET integer_division = true; SET threads = 1")

    def run(self, sql):
        try:
            return [[theirs(value) for value in row] for row in self.connection.execute(sql).fetchall()], None
        except duckdb.Error as error:
            return None, str(error)


class Lite:
    name = "SQLite"

    def __init__(self):
        self.connection = sqlite3.connect(":memory:")

    def run(self, sql):
        try:
            return [[theirs(value) for value in row] for row in self.connection.execute(sql).fetchall()], None
        except sqlite3.Error as error:
            return None, str(error)


class Fuzz:
    def __init__(self, server):
        self.server = Server(server)
        self.counts = collections.Counter()
        self.refused = collections.Counter()
        self.differences = []
        self.times = collections.Counter()
        self.slowest = (0.0, "")

    def round(self, seed, queries):
        """One schema and its queries; SQLite is asked in every fourth round."""
        lite = seed % 4 == 3
        peer = Lite() if lite else Duck()
        generator = Generator(seed, lite)
        self.server.run("\\reset")
        statements = generator.schema()
        for sql in statements:
            _, _, error = self.server.run(sql)
            _, refusal = peer.run(sql)
            if error or refusal:
                self.report(seed, statements, sql, f"StoaDB: {error}; {peer.name}: {refusal}")
                return
        for _ in range(queries):
            sql, ordered = generator.query()
            self.check(seed, statements, peer, sql, ordered)

    def check(self, seed, statements, peer, sql, ordered):
        self.counts["queries"] += 1
        start = time.monotonic()
        rows, types, error = self.server.run(sql)
        middle = time.monotonic()
        expected, refusal = peer.run(sql)
        self.times["StoaDB"] += middle - start
        self.times[peer.name] += time.monotonic() - middle
        self.slowest = max(self.slowest, (middle - start, sql))
        if middle - start > SECONDS_MAX:
            return self.report(seed, statements, sql, f"StoaDB took {middle - start:.1f} s")
        if error and error[0] in ("Internal", "Crash"):
            return self.report(seed, statements, sql, f"StoaDB fails: {error[1]}")
        if refusal and any(re.search(limit, refusal, re.I) for limit in PEER_LIMITS):
            self.counts[f"{peer.name} cannot"] += 1
            return None
        if error and error[0] == "Unsupported":
            self.refused[re.sub(r"[0-9]+", "N", error[1])] += 1
            return None
        if error and refusal:
            self.counts["both fail"] += 1
            return None
        if error or refusal:
            return self.report(seed, statements, sql, f"StoaDB: {error or 'answers'}; {peer.name}: {refusal or 'answers'}")
        mine = [[ours(text, kind) for text, kind in zip(row, types)] for row in rows]
        if isinstance(peer, Lite):
            mine = [[int(value) if isinstance(value, bool) else value for value in row] for row in mine]
        self.counts["rows"] += len(mine)
        self.counts["same" if mine else "same, empty"] += 1
        if not matches(mine, expected, ordered):
            self.report(seed, statements, sql, surplus("StoaDB", mine, expected) + surplus(peer.name, expected, mine))
        return None

    def report(self, seed, statements, sql, what):
        self.counts["differences"] += 1
        self.differences.append((len(sql), seed, sql, what, statements))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--server", default="target/debug/sql_lines")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=10**9, help="schemas to try")
    parser.add_argument("--queries", type=int, default=50, help="queries of each")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--show", type=int, default=10, help="how many differences to print, the shortest first")
    parser.add_argument("--short", action="store_true", help="print differences without their tables")
    args = parser.parse_args()
    fuzz = Fuzz(args.server)
    end = time.monotonic() + args.seconds
    for seed in range(args.seed, args.seed + args.rounds):
        if time.monotonic() > end:
            break
        fuzz.round(seed, args.queries)
    for _, seed, sql, what, statements in sorted(fuzz.differences)[: args.show]:
        print(f"\n-- seed {seed}: {what[:600]}")
        if args.short:
            print(sql)
            continue
        named = [s for s in statements if any(re.search(rf"\b{t}\b", sql) for t in re.findall(r"(?:TABLE|INTO) (\w+)", s))]
        print(";\n".join([*named, sql]) + ";")
    print(", ".join(f"{name} {count}" for name, count in fuzz.counts.items()))
    print(", ".join(f"{name} {spent:.1f} s" for name, spent in fuzz.times.items()) + f", slowest {fuzz.slowest[0]:.2f} s: {fuzz.slowest[1][:200]}")
    for what, count in fuzz.refused.most_common(15):
        print(f"refused {count}: {what}")
    return 1 if fuzz.differences else 0


if __name__ == "__main__":
    sys.exit(main())
