"""What goes wrong from outside: signals, threads, forks, large and odd values, leaks."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import stoadb

ENDLESS = "SELECT sum(a.i * b.i % 7) FROM range(1000000) a(i), range(1000000) b(i)"


def interrupted_after(seconds, run):
    timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            run()
    finally:
        timer.cancel()
    assert time.monotonic() - start < 10


def test_control_c_ends_a_query(con):
    interrupted_after(0.3, lambda: con.execute(ENDLESS).fetchall())
    assert con.execute("SELECT 1").fetchone() == (1,)


def test_control_c_ends_other_statements(con):
    interrupted_after(0.3, lambda: con.execute("CREATE TABLE t AS " + ENDLESS))
    assert con.execute("SHOW TABLES").fetchall() == []


def test_control_c_ends_a_query_that_calls_python(con):
    con.create_function("slow", lambda x: time.sleep(0.001) or x, [int], int)
    interrupted_after(0.3, lambda: con.execute("SELECT sum(slow(i)) FROM range(1000000) r(i)").fetchall())


def test_another_thread_interrupts(con):
    raised = []

    def run():
        try:
            con.execute(ENDLESS).fetchall()
        except stoadb.OperationalError as error:
            raised.append(error.code)

    thread = threading.Thread(target=run)
    thread.start()
    while thread.is_alive():
        time.sleep(0.05)
        con.interrupt()
    thread.join()
    assert raised == ["cancelled"]


def test_other_threads_run_meanwhile(con):
    counted = [0]
    done = threading.Event()

    def count():
        while not done.is_set():
            counted[0] += 1
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    con.set(timeout="500ms")
    with pytest.raises(stoadb.OperationalError):
        con.execute(ENDLESS).fetchall()
    done.set()
    thread.join()
    assert counted[0] > 20


def test_threads_share_a_connection(con):
    con.execute("CREATE TABLE t AS SELECT i FROM range(10000) r(i)")
    wrong = []

    def work(number):
        for turn in range(20):
            found = con.cursor().execute("SELECT sum(i) + ? FROM t", [number + turn]).fetchall()
            if found != [(49995000 + number + turn,)]:
                wrong.append(found)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_threads_share_a_cursor_without_waiting_for_ever(con):
    cursor = con.execute("SELECT i FROM range(300000) r(i)")
    rows, errors = [], []

    def read():
        try:
            while found := cursor.fetchmany(1000):
                rows.extend(found)
        except stoadb.InterfaceError as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    rows.extend(cursor.fetchall())
    assert len(rows) == len(set(rows)) == 300000


FORK = """
import os, sys, stoadb
con = stoadb.connect()
con.execute("CREATE TABLE t AS SELECT i FROM range(200000) r(i)")
con.execute("SELECT sum(i * i) FROM t").fetchall()
reading = con.execute("SELECT i FROM t")
child = os.fork()
if child == 0:
    for use in (lambda: con.execute("SELECT 1"), reading.fetchone, con.begin, con.duplicate):
        try:
            use()
        except stoadb.OperationalError as error:
            assert "connect() here" in str(error), error
        else:
            os._exit(3)
    assert stoadb.sql("SELECT sum(i) FROM range(300000) r(i)").fetchone() == (299999 * 150000,)
    with stoadb.connect() as own:
        own.execute("CREATE TABLE t AS SELECT i FROM range(200000) r(i)")
        assert own.execute("SELECT count(DISTINCT i) FROM t").fetchone() == (200000,)
    con.close()
    del con, reading
    sys.exit(7)
_, status = os.waitpid(child, 0)
assert os.waitstatus_to_exitcode(status) == 7, status
assert con.execute("SELECT count(*) FROM t").fetchone() == (200000,)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_gets_a_clear_error_and_may_connect_itself():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], timeout=120, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_interpreter_ends_while_a_query_runs():
    code = f"import stoadb; con = stoadb.connect(); rows = con.execute({ENDLESS!r}); print('end')"
    done = subprocess.run([sys.executable, "-c", code], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "end\n", "")


def test_huge_texts(con):
    text = "x\u00e9" * 8_000_000
    assert con.execute("SELECT ?", [text]).fetchone() == (text,)
    con.register("t", {"t": [text, "a"]})
    assert con.execute("SELECT max(length(t)) FROM t").fetchone() == (16_000_000,)
    assert con.execute("SELECT t FROM t").arrow().column(0)[0].as_py() == text
    literal = "y" * 1_000_000
    assert con.execute(f"SELECT '{literal}'").fetchone() == (literal,)


def test_an_object_that_fails_while_it_is_read(con):
    class Bad:
        def __arrow_c_stream__(self, requested_schema=None):
            raise RuntimeError("no stream today")

    with pytest.raises(RuntimeError, match="no stream today"):
        con.register("t", Bad())

    class Wrong:
        def __arrow_c_stream__(self, requested_schema=None):
            return "not a capsule"

    with pytest.raises(stoadb.InterfaceError, match="capsule"):
        con.register("t", Wrong())


def test_a_registered_object_may_be_deleted(con):
    array = np.arange(100000.0)
    con.register("t", {"x": array})
    reading = con.execute("SELECT x FROM t")
    assert reading.fetchone() == (0.0,)
    del array
    con.unregister("t")
    gc.collect()
    filler = [np.ones(100000) for _ in range(10)]  # noqa: F841
    assert len(reading.fetchall()) == 99999


def resident():
    with open("/proc/self/statm") as status:
        return int(status.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="there is no /proc")
def test_memory_is_flat_over_many_queries(con):
    array = np.arange(10000.0)
    con.register("t", {"x": array})

    def work(times):
        for i in range(times):
            con.execute("SELECT sum(x) FROM t WHERE x > ?", [i % 3]).fetchall()
            if i % 20 == 0:
                con.execute("SELECT x FROM t").arrow()
                values_of = array  # noqa: F841
                con.execute("SELECT sum(value) FROM values_of").fetchone()
                con.execute("SELECT x FROM t").numpy()
                with pytest.raises(stoadb.ProgrammingError):
                    con.execute("SELECT nothing FROM t")

    work(100)
    gc.collect()
    before = resident()
    work(500)
    gc.collect()
    assert resident() - before < 12 << 20


def test_a_progress_bar_moves_and_goes(con, capsys, monkeypatch):
    con.progress_bar = True
    con.set(timeout="2s")
    con.execute("CREATE TABLE t AS SELECT i FROM range(3000) r(i)")
    with pytest.raises(stoadb.OperationalError):
        con.execute("SELECT sum((a.i * b.i * c.i) % 7) FROM t a, t b, t c").fetchall()
    shown = capsys.readouterr().err
    assert "%" in shown and shown.endswith("\r\x1b[K")
