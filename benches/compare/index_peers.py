"""The engines of index.py: each makes the same table, answers the same questions and changes it in the same way. Every class
is used in a process of its own, which times its calls itself.

The table `t` of n rows: k = row * STRIDE % n (every number below n once, in another order), x = row % 9973 / 8,
p = row * 31 % 100003. Everything is held in memory; nothing survives the process.
"""

import contextlib
import math
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

STRIDE = 2_654_435_761
OTHER_STRIDE = 1_299_709
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent

# What is asked over rows with low <= k < high: name, percent of the rows (0: one row), kind.
QUESTIONS = [
    ("point look-up", 0, "point"),
    *((f"count(*) over {share} %", share, "count") for share in (1, 10, 90)),
    *((f"count, sum, avg, stddev over {share} %", share, "moments") for share in (1, 10, 90)),
    ("median of the key over 10 %", 10, "median_k"),
    ("0.99 quantile of the key over 10 %", 10, "p99_k"),
    ("median of an included column over 10 %", 10, "median_p"),
    ("0.99 quantile of an included column over 10 %", 10, "p99_p"),
    ("100 buckets over 10 %", 10, "buckets"),
    ("count(DISTINCT key) over 10 %", 10, "distinct"),
]

SELECT = {
    "point": "SELECT x FROM t WHERE k = {low}",
    "count": "SELECT count(*) FROM t WHERE k >= {low} AND k < {high}",
    "moments": "SELECT count(*), sum(x), avg(x), stddev_samp(x) FROM t WHERE k >= {low} AND k < {high}",
    "median_k": "SELECT median(k) FROM t WHERE k >= {low} AND k < {high}",
    "p99_k": "SELECT quantile_cont(k, 0.99) FROM t WHERE k >= {low} AND k < {high}",
    "median_p": "SELECT median(p) FROM t WHERE k >= {low} AND k < {high}",
    "p99_p": "SELECT quantile_cont(p, 0.99) FROM t WHERE k >= {low} AND k < {high}",
    "buckets": "SELECT k // {bucket} AS b, count(*), sum(x) FROM t WHERE k >= {low} AND k < {high} GROUP BY b",
    "distinct": "SELECT count(DISTINCT k) FROM t WHERE k >= {low} AND k < {high}",
}
CREATE = "CREATE TABLE t AS SELECT i * {stride} % {rows} AS k, (i % 9973) / 8e0 AS x, i * 31 % 100003 AS p FROM range({rows}) r(i)"
# A tenth of the rows, here and there, in deletions that an index keeps apart.
DELETES = [(10, "= 3", "k % 8 > 0"), (10, "= 3", "k % 64 > 0"), (10, "= 3", "k % 512 > 0"), (10, "= 3", "true")]


def inserts(rows: int) -> list[tuple[int, int]]:
    """Rows that come after the deletions, from and to: parts that are too small for each other to be merged at once."""
    found, start = [], rows
    for share in (6, 30, 150, 750, 3750):
        found.append((start, start + rows // share))
        start = found[-1][1]
    return found


class Engine:
    """What is the same for engines that are called from Python."""

    # What a question is asked with; a function of the parameters, or a text with them in it.
    select = SELECT
    note = ""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def text(self, kind: str, low, high) -> str:
        bucket = max(self.rows // 1000, 1)
        return self.select[kind].format(low=low, high=high, bucket=bucket)

    def ask(self, kind: str, pairs: list, seconds: float, calls: int) -> dict:
        """Three answers, not counted; then calls until the time is up. If that is up before, the answers are what counts."""
        call = self.question(kind)
        times, answers, spent = [], [], 0.0
        for low, high in pairs[:3]:
            start = time.perf_counter()
            answers.append(call(low, high))
            times.append(time.perf_counter() - start)
            spent += times[-1]
            if spent > seconds:
                break
        else:
            times, end = [], time.perf_counter() + seconds
            for at in range(calls):
                low, high = pairs[(at + 3) % len(pairs)]
                start = time.perf_counter()
                call(low, high)
                now = time.perf_counter()
                times.append(now - start)
                if now > end:
                    break
        times.sort()
        p50, p99 = (times[(len(times) - 1) * share // 100] * 1e6 for share in (50, 99))
        return {"p50": p50, "p99": p99, "calls": len(times), "answers": answers}

    def rate(self, insert: bool, batch: int, seconds: float, start: int) -> float:
        """Rows a second, in batches; the first one, not counted, loads what is loaded when it is needed."""
        change, done = self.changer(insert, batch), batch
        change(start)
        begun = time.perf_counter()
        while time.perf_counter() - begun < seconds:
            change(start + done)
            done += batch
        return (done - batch) / (time.perf_counter() - begun)

    def numbers(self, start: int, end: int, stride: int = STRIDE) -> list:
        import numpy

        row = numpy.arange(start, end, dtype=numpy.int64)
        return [row * stride % self.rows, row % 9973 / 8.0, row * 31 % 100003]

    def close(self) -> None:
        pass


class Stoadb(Engine):
    note = "prepared statements, timed in its own process"

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        binary = str(ROOT / "target/release/index_peer")
        self.process = subprocess.Popen([binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def tell(self, *fields) -> list[str]:
        self.process.stdin.write("\t".join(map(str, fields)) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline().rstrip("\n").split("\t")
        if answer[0] in ("error", ""):
            raise RuntimeError(f"stoadb: {' '.join(answer)}: {fields}")
        return answer

    def load(self) -> dict:
        self.tell("sql", CREATE.format(stride=STRIDE, rows=self.rows))
        seconds, peak = self.tell("sql", "CREATE INDEX t_k ON t (k) INCLUDE (x, p QUANTILES)")
        size = self.tell("rows", "SELECT bytes FROM index_info('t_k')")[0].split(";")[0]
        return {"index_s": float(seconds), "index_mib": float(size) / 2**20, "peak_mib": float(peak) / 2**20}

    def ask(self, kind: str, pairs: list, seconds: float, calls: int) -> dict:
        text = self.text(kind, "$1", "$2")
        listed = " ".join(f"{low},{high}" for low, high in pairs)
        p50, p99, count, answers = self.tell("ask", seconds, calls, text, listed)
        answers = [[tuple(map(float, row.split(","))) for row in answer.split(";") if row] for answer in answers.split("/")]
        return {"p50": float(p50), "p99": float(p99), "calls": int(count), "answers": answers}

    def change(self) -> str:
        for modulus, rest, also in DELETES:
            self.tell("sql", f"DELETE FROM t WHERE k * {STRIDE} // 128 % {modulus} {rest} AND {also}")
        for start, end in inserts(self.rows):
            self.tell("sql", f"INSERT INTO t SELECT i * {OTHER_STRIDE} % {self.rows}, (i % 9973) / 8e0, i * 31 % 100003 FROM range({start}, {end}) r(i)")
        info = "SELECT runs, pending, entries FROM index_info('t_k') LIMIT 1"
        runs, pending, entries = self.tell("rows", info)[0].split(",")
        return f"{runs} runs, {int(pending):,} of {int(entries):,} entries outside of the largest"

    def rate(self, insert: bool, batch: int, seconds: float, start: int) -> float:
        kind = "insert" if insert else "delete"
        return float(self.tell("change", kind, batch, seconds, start, self.rows)[0])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


class Duckdb(Engine):
    """Without its index; the rows as they come."""

    note = "PREPARE and EXECUTE"
    art = False
    ordered = False

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        import duckdb

        self.connection = duckdb.connect(config={"threads": 2})

    def load(self) -> dict:
        order = " ORDER BY k" if self.ordered else ""
        self.connection.execute(CREATE.format(stride=STRIDE, rows=self.rows) + order)
        if not self.art:
            return {}
        start = time.perf_counter()
        self.connection.execute("CREATE INDEX t_k ON t (k)")
        return {"index_s": time.perf_counter() - start, "index_mib": self.art_bytes() / 2**20}

    def art_bytes(self) -> int:
        sql = "SELECT sum(memory_usage_bytes) FROM duckdb_memory() WHERE tag = 'ART_INDEX'"
        return int(self.connection.execute(sql).fetchone()[0])

    def question(self, kind: str):
        with contextlib.suppress(Exception):
            self.connection.execute("DEALLOCATE q")
        self.connection.execute("PREPARE q AS " + self.text(kind, "$1", "$2"))
        if kind == "point":
            return lambda low, _: self.connection.execute(f"EXECUTE q({low})").fetchall()
        return lambda low, high: self.connection.execute(f"EXECUTE q({low}, {high})").fetchall()

    def change(self) -> str:
        for modulus, rest, also in DELETES:
            self.connection.execute(f"DELETE FROM t WHERE k * {STRIDE} // 128 % {modulus} {rest} AND {also}")
        for start, end in inserts(self.rows):
            self.connection.execute(f"INSERT INTO t SELECT i * {OTHER_STRIDE} % {self.rows}, (i % 9973) / 8e0, i * 31 % 100003 FROM range({start}, {end}) r(i)")
        return ""

    def changer(self, insert: bool, batch: int):
        import pyarrow

        connection = self.connection
        if batch == 1:
            name = "one_in" if insert else "one_out"
            text = "INSERT INTO t VALUES ($1, $2, $3)" if insert else "DELETE FROM t WHERE k = $1"
            connection.execute(f"PREPARE {name} AS {text}")

            def one(row: int) -> None:
                key = row * STRIDE % self.rows
                values = f"{key}, {row % 9973 / 8}::DOUBLE, {row * 31 % 100003}" if insert else f"{key}"
                connection.execute(f"EXECUTE {name}({values})")

            return one

        def many(row: int) -> None:
            columns = self.numbers(row, row + batch)
            connection.register("batch", pyarrow.table(dict(zip("kxp", columns))))
            into, out = "INSERT INTO t SELECT k, x, p FROM batch", "DELETE FROM t WHERE k IN (SELECT k FROM batch)"
            connection.execute(into if insert else out)

        return many


class DuckdbArt(Duckdb):
    art = True


class DuckdbSorted(Duckdb):
    ordered = True
    note = "the table written in the order of the key"


class Sqlite(Engine):
    note = "covering index (k, x, p); quantiles by ORDER BY and OFFSET"

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        import sqlite3

        self.connection = sqlite3.connect(":memory:", isolation_level=None, cached_statements=512)
        for pragma in ("journal_mode = OFF", "synchronous = OFF", "temp_store = MEMORY"):
            self.connection.execute(f"PRAGMA {pragma}")

    def load(self) -> dict:
        self.connection.execute("CREATE TABLE t (k INTEGER, x REAL, p INTEGER)")
        self.insert(0, self.rows, STRIDE)
        before = self.bytes()
        start = time.perf_counter()
        self.connection.execute("CREATE INDEX t_k ON t (k, x, p)")
        seconds = time.perf_counter() - start
        return {"index_s": seconds, "index_mib": (self.bytes() - before) / 2**20}

    def bytes(self) -> int:
        one = lambda pragma: self.connection.execute(f"PRAGMA {pragma}").fetchone()[0]
        return one("page_count") * one("page_size")

    def insert(self, start: int, end: int, stride: int) -> None:
        rows = f"WITH RECURSIVE r(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM r WHERE i + 1 < {end})"
        values = f"i * {stride} % {self.rows}, (i % 9973) / 8e0, i * 31 % 100003"
        self.connection.execute(f"INSERT INTO t {rows} SELECT {values} FROM r")

    def question(self, kind: str):
        run = lambda sql, *values: self.connection.execute(sql, values).fetchall()
        where = "FROM t WHERE k >= ? AND k < ?"
        if kind == "moments":

            def moments(low, high):
                [(n, total, squares)] = run(f"SELECT count(*), sum(x), sum(x * x) {where}", low, high)
                return [(n, total, total / n, math.sqrt((squares - total * total / n) / (n - 1)))]

            return moments
        if kind[:3] in ("med", "p99"):
            column, share = kind[-1], 0.5 if kind.startswith("median") else 0.99

            def quantile(low, high):
                place = (run(f"SELECT count(*) {where}", low, high)[0][0] - 1) * share
                sql = f"SELECT {column} {where} ORDER BY {column} LIMIT 2 OFFSET ?"
                values = [value for (value,) in run(sql, low, high, int(place))]
                return [(values[0] + (values[-1] - values[0]) * (place - int(place)),)]

            return quantile
        sql = self.text(kind, "?", "?").replace("//", "/")
        return lambda low, high: run(sql, low) if kind == "point" else run(sql, low, high)

    def change(self) -> str:
        for modulus, rest, also in DELETES:
            self.connection.execute(f"DELETE FROM t WHERE k * {STRIDE} / 128 % {modulus} {rest} AND {also}")
        for start, end in inserts(self.rows):
            self.insert(start, end, OTHER_STRIDE)
        return ""

    def changer(self, insert: bool, batch: int):
        sql = "INSERT INTO t VALUES (?, ?, ?)" if insert else "DELETE FROM t WHERE k = ?"

        def change(row: int) -> None:
            columns = [column.tolist() for column in self.numbers(row, row + batch)]
            self.connection.execute("BEGIN")
            self.connection.executemany(sql, zip(*columns) if insert else [(key,) for key in columns[0]])
            self.connection.execute("COMMIT")

        return change


class Chdb(Engine):
    note = "MergeTree ORDER BY k, files in memory; statements as text"
    select = {
        **SELECT,
        "moments": SELECT["moments"].replace("stddev_samp", "stddevSampStable"),
        "median_k": SELECT["median_k"].replace("median(", "quantileExactInclusive(0.5)("),
        "median_p": SELECT["median_p"].replace("median(", "quantileExactInclusive(0.5)("),
        "p99_k": SELECT["p99_k"].replace("quantile_cont(k, 0.99)", "quantileExactInclusive(0.99)(k)"),
        "p99_p": SELECT["p99_p"].replace("quantile_cont(p, 0.99)", "quantileExactInclusive(0.99)(p)"),
        "buckets": SELECT["buckets"].replace("k // {bucket}", "intDiv(k, {bucket})"),
        "distinct": SELECT["distinct"].replace("count(DISTINCT k)", "uniqExact(k)"),
    }

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        from chdb import session

        self.folder = tempfile.mkdtemp()
        self.session = session.Session(self.folder)
        self.run("SET max_threads = 2")
        self.run("CREATE DATABASE IF NOT EXISTS d")
        self.run("USE d")

    def run(self, sql: str) -> list:
        text = str(self.session.query(sql, "TSV"))
        return [tuple(map(float, line.split("\t"))) for line in text.splitlines()]

    def load(self) -> dict:
        self.run("CREATE TABLE t (k Int64, x Float64, p Int64) ENGINE = MergeTree ORDER BY k")
        self.insert(0, self.rows, STRIDE)
        self.run("OPTIMIZE TABLE t FINAL")
        return {}

    def insert(self, start: int, end: int, stride: int) -> None:
        source = f"numbers({start}, {end - start})"
        self.run(f"INSERT INTO t SELECT toInt64(number * {stride} % {self.rows}), number % 9973 / 8, number * 31 % 100003 FROM {source}")

    def question(self, kind: str):
        return lambda low, high: self.run(self.text(kind, low, high))

    def change(self) -> str:
        for modulus, rest, also in DELETES:
            self.run(f"DELETE FROM t WHERE intDiv(k * {STRIDE}, 128) % {modulus} {rest} AND {also}")
        for start, end in inserts(self.rows):
            self.insert(start, end, OTHER_STRIDE)
        return ""

    def close(self) -> None:
        self.session.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Engine):
    note = "unlogged table and covering index in a private cluster, files in memory; timed inside the server (PL/pgSQL)"
    select = {
        **SELECT,
        "median_k": SELECT["median_k"].replace("median(k)", "percentile_cont(0.5) WITHIN GROUP (ORDER BY k)"),
        "median_p": SELECT["median_p"].replace("median(p)", "percentile_cont(0.5) WITHIN GROUP (ORDER BY p)"),
        "p99_k": SELECT["p99_k"].replace("quantile_cont(k, 0.99)", "percentile_cont(0.99) WITHIN GROUP (ORDER BY k)"),
        "p99_p": SELECT["p99_p"].replace("quantile_cont(p, 0.99)", "percentile_cont(0.99) WITHIN GROUP (ORDER BY p)"),
        "buckets": SELECT["buckets"].replace("//", "/"),
    }
    SETTINGS = {
        "listen_addresses": "''", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off",
        "wal_level": "minimal", "max_wal_senders": "0", "max_wal_size": "1GB", "shared_buffers": "2GB",
        "work_mem": "512MB", "maintenance_work_mem": "1GB", "max_parallel_workers_per_gather": "1",
        "max_parallel_maintenance_workers": "1", "autovacuum": "off", "jit": "off", "random_page_cost": "1.1",
    }

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.binaries = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=None)
        if self.binaries is None:
            raise RuntimeError("PostgreSQL is not installed")
        self.folder = tempfile.mkdtemp(prefix="pg")
        self.user = []
        if os.getuid() == 0:
            # It does not run as root.
            owner = pwd.getpwnam("postgres")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self.user = ["setpriv", f"--reuid={owner.pw_uid}", f"--regid={owner.pw_gid}", "--clear-groups"]
        self.server(["initdb", "-D", f"{self.folder}/data", "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale=C"])
        with open(f"{self.folder}/data/postgresql.conf", "a") as file:
            file.writelines(f"{name} = {value}\n" for name, value in self.SETTINGS.items())
            file.write(f"unix_socket_directories = '{self.folder}'\n")
        self.server(["pg_ctl", "-D", f"{self.folder}/data", "-w", "-l", f"{self.folder}/log", "start"])

    def server(self, command: list[str]) -> None:
        command = [*self.user, str(self.binaries / command[0]), *command[1:]]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.folder)

    def run(self, sql: str) -> str:
        command = [str(self.binaries / "psql"), "-h", self.folder, "-U", "postgres", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(command, input=sql, check=True, stdout=subprocess.PIPE, text=True)
        return done.stdout.strip()

    def load(self) -> dict:
        self.run("CREATE UNLOGGED TABLE t (k bigint, x float8, p bigint)")
        self.insert(0, self.rows, STRIDE)
        start = time.perf_counter()
        self.run("CREATE INDEX t_k ON t (k) INCLUDE (x, p)")
        seconds = time.perf_counter() - start
        self.run("VACUUM ANALYZE t")
        return {"index_s": seconds, "index_mib": int(self.run("SELECT pg_relation_size('t_k')")) / 2**20}

    def insert(self, start: int, end: int, stride: int) -> None:
        self.run(f"INSERT INTO t SELECT i * {stride} % {self.rows}, (i % 9973) / 8e0, i * 31 % 100003 FROM generate_series({start}::bigint, {end - 1}) r(i)")

    def ask(self, kind: str, pairs: list, seconds: float, calls: int) -> dict:
        columns = {"moments": "concat_ws(',', a, b, c, d)", "buckets": "concat_ws(',', a, b, c)"}.get(kind, "a::text")
        names = {"moments": "a, b, c, d", "buckets": "a, b, c"}.get(kind, "a")
        function = f"""CREATE OR REPLACE FUNCTION pg_temp.q(lows bigint[], highs bigint[], seconds float8, calls int)
            RETURNS text LANGUAGE plpgsql AS $$
            DECLARE
                low bigint; high bigint; at int; begun timestamptz; ended timestamptz; spent float8 := 0; answer text;
                times float8[] := '{{}}'; answers text[] := '{{}}'; took float8;
            BEGIN
                FOR at IN 1..calls + 3 LOOP
                    low := lows[(at - 1) % array_length(lows, 1) + 1];
                    high := highs[(at - 1) % array_length(lows, 1) + 1];
                    IF at = 4 THEN times := '{{}}'; spent := 0; END IF;
                    begun := clock_timestamp();
                    SELECT string_agg({columns}, ';') INTO answer FROM ({self.text(kind, "low", "high")}) s({names});
                    took := extract(epoch FROM clock_timestamp() - begun);
                    times := times || took;
                    spent := spent + took;
                    IF at <= 3 THEN answers := answers || coalesce(answer, ''); END IF;
                    EXIT WHEN spent > seconds;
                END LOOP;
                times := (SELECT array_agg(v ORDER BY v) FROM unnest(times) v);
                at := array_length(times, 1);
                RETURN concat_ws('|', times[(at - 1) * 50 / 100 + 1], times[(at - 1) * 99 / 100 + 1], at,
                    array_to_string(answers, '/'));
            END $$;"""
        lows, highs = (",".join(map(str, side)) for side in zip(*pairs))
        text = self.run(f"{function}\nSELECT pg_temp.q('{{{lows}}}', '{{{highs}}}', {seconds}, {calls});")
        p50, p99, count, answers = text.split("|")
        answers = [[tuple(map(float, row.split(","))) for row in answer.split(";") if row] for answer in answers.split("/")]
        return {"p50": float(p50) * 1e6, "p99": float(p99) * 1e6, "calls": int(count), "answers": answers}

    def change(self) -> str:
        for modulus, rest, also in DELETES:
            self.run(f"DELETE FROM t WHERE k * {STRIDE} / 128 % {modulus} {rest} AND {also}")
        for start, end in inserts(self.rows):
            self.insert(start, end, OTHER_STRIDE)
        self.run("VACUUM ANALYZE t")
        return "after VACUUM"

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.server(["pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "stop"])
        shutil.rmtree(self.folder, ignore_errors=True)


class Polars(Engine):
    note = "frame in the order of the key, sorted flag set, filter"

    def load(self) -> dict:
        self.keep(*self.numbers(0, self.rows))
        return {}

    def keep(self, k, x, p) -> None:
        import polars

        frame = polars.DataFrame({"k": k, "x": x, "p": p}).sort("k")
        self.frame = frame.with_columns(polars.col("k").set_sorted())

    def within(self, low: int, high: int):
        import polars

        return self.frame.lazy().filter((polars.col("k") >= low) & (polars.col("k") < high))

    def question(self, kind: str):
        from polars import col, len

        bucket = max(self.rows // 1000, 1)
        picked = {
            "point": [col("x")],
            "count": [len()],
            "moments": [len(), col("x").sum().alias("s"), col("x").mean().alias("a"), col("x").std().alias("d")],
            "median_k": [col("k").median()],
            "median_p": [col("p").median()],
            "p99_k": [col("k").quantile(0.99, "linear")],
            "p99_p": [col("p").quantile(0.99, "linear")],
            "distinct": [col("k").n_unique()],
        }

        def call(low: int, high: int):
            found = self.within(low, low + 1 if kind == "point" else high)
            if kind == "buckets":
                found = found.group_by(col("k") // bucket).agg(len(), col("x").sum())
            else:
                found = found.select(picked[kind])
            return found.collect().rows()

        return call

    def change(self) -> str:
        import numpy

        k, x, p = (self.frame[name].to_numpy() for name in "kxp")
        left = k * STRIDE // 128 % 10 != 3
        columns = [[values[left]] for values in (k, x, p)]
        for start, end in inserts(self.rows):
            for column, new in zip(columns, self.numbers(start, end, OTHER_STRIDE)):
                column.append(new)
        self.keep(*(numpy.concatenate(column) for column in columns))
        return "sorted anew"


class PolarsSlice(Polars):
    note = "the same frame, the range found by search_sorted and sliced by hand"

    def within(self, low: int, high: int):
        import polars

        start, end = self.frame["k"].search_sorted(polars.Series([low, high]), side="left")
        return self.frame.lazy().slice(start, end - start)


ENGINES = {
    "stoadb": ("StoaDB", Stoadb),
    "duckdb": ("DuckDB", Duckdb),
    "duckdb-art": ("DuckDB, ART", DuckdbArt),
    "duckdb-sorted": ("DuckDB, sorted", DuckdbSorted),
    "sqlite": ("SQLite", Sqlite),
    "chdb": ("chDB", Chdb),
    "postgres": ("PostgreSQL", Postgres),
    "polars": ("Polars", Polars),
    "polars-slice": ("Polars, sliced", PolarsSlice),
}
