"""Connections: parameters, transactions, settings, saved databases, PEP 249."""

import datetime as dt
import uuid
from decimal import Decimal

import numpy as np
import pytest

import stoadb


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63),
        2**64 - 1,
        10**38 - 1,
        0.1,
        float("inf"),
        "",
        "quo'te \u00e9\U0001f40d",
        b"\x00\xff",
        Decimal("-12.340"),
        Decimal("1E+3"),
        dt.date(2020, 2, 29),
        dt.time(1, 2, 3, 4),
        dt.datetime(1900, 1, 1, 1, 2, 3, 4),
        dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc),
        dt.timedelta(days=-1, microseconds=5),
        [1, 2, None],
        ["a"],
        [],
        {"a": 1, "b": [1.5]},
    ],
)
def test_parameters_come_back_as_they_were_given(con, value):
    assert con.execute("SELECT ?", [value]).fetchone() == (value,)
    assert con.execute("SELECT $x", {"x": value}).fetchone() == (value,)


def test_more_parameters(con):
    assert con.execute("SELECT $2, $1, $2", (1, "b")).fetchone() == ("b", 1, "b")
    assert con.execute("SELECT $a + $B", {"a": 1, "b": 2}).fetchone() == (3,)
    for number in (np.int32(7), np.float64(7), np.uint8(7), np.array(7)):
        assert con.execute("SELECT ?", [number]).fetchone() == (7,)
    assert con.execute("SELECT ?", [np.arange(3)]).fetchone() == ([0, 1, 2],)
    number = uuid.uuid4()
    assert con.execute("SELECT ?", [number]).fetchone() == (str(number),)
    assert con.execute("SELECT sum(i) FROM range(10) r(i) WHERE i > ?", [7]).fetchone() == (17,)
    for limit in range(5):
        assert len(con.execute("SELECT i FROM range(10) r(i) WHERE i < ?", [limit]).fetchall()) == limit


@pytest.mark.parametrize(
    ("sql", "parameters", "error", "text"),
    [
        ("SELECT ?", [], stoadb.DataError, "1 parameters, 0 were given"),
        ("SELECT ?", [1, 2], stoadb.ProgrammingError, "1 parameters, 2 values"),
        ("SELECT $a", {"b": 1}, stoadb.ProgrammingError, "no parameter \\$b"),
        ("SELECT $a", {}, stoadb.DataError, "\\$a has no value"),
        ("SELECT $a", [1], stoadb.ProgrammingError, "dict"),
        ("SELECT ?", "text", stoadb.InterfaceError, "list"),
        ("SELECT ?", 5, stoadb.InterfaceError, "list"),
        ("SELECT ?", [object()], stoadb.InterfaceError, "\\$1: a object is no value"),
        ("SELECT ?", [10**40], stoadb.DataError, "digits"),
        ("SELECT ?", [Decimal("NaN")], stoadb.DataError, "no digits"),
        ("SELECT ?", [[1, "x"]], stoadb.DataError, "different types"),
        ("SELECT $a", {1: 2}, stoadb.InterfaceError, "texts"),
        ("SELECT ?", ["\ud800"], stoadb.DataError, "Unicode"),
        (5, None, stoadb.InterfaceError, "a text"),
    ],
)
def test_wrong_parameters(con, sql, parameters, error, text):
    with pytest.raises(error, match=text):
        con.execute(sql, parameters)
    assert con.execute("SELECT 1").fetchone() == (1,)


def test_executemany_does_all_or_nothing(con):
    con.execute("CREATE TABLE t (i INTEGER PRIMARY KEY, t TEXT)")
    cursor = con.executemany("INSERT INTO t VALUES (?, ?)", [(i, str(i)) for i in range(100)])
    assert cursor.rowcount == 100
    with pytest.raises(stoadb.IntegrityError):
        con.executemany("INSERT INTO t VALUES ($i, $t)", ({"i": i, "t": ""} for i in (200, 50)))
    assert con.execute("SELECT count(*), sum(i) FROM t").fetchone() == (100, 4950)
    with con.transaction():
        con.executemany("INSERT INTO t VALUES (?, NULL)", [[300], [301]])
        assert con.in_transaction
    assert con.execute("SELECT count(*) FROM t").fetchone() == (102,)
    assert con.executemany("INSERT INTO t VALUES (?, NULL)", []).rowcount == 0


def test_transactions(con):
    con.execute("CREATE TABLE t (i INTEGER)")
    con.begin()
    con.execute("INSERT INTO t VALUES (1)")
    other = con.duplicate()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (0,)
    con.commit()
    assert other.execute("SELECT count(*) FROM t").fetchone() == (1,)
    with pytest.raises(ZeroDivisionError), con.transaction():
        con.execute("DELETE FROM t")
        raise ZeroDivisionError
    assert not con.in_transaction
    con.commit()
    con.rollback()
    assert con.execute("SELECT count(*) FROM t").fetchone() == (1,)
    with pytest.raises(stoadb.ProgrammingError, match="open already"):
        con.begin().begin()
    con.rollback()
    other.close()


def test_saved_databases(tmp_path):
    folder = tmp_path / "db.stoa"
    with stoadb.connect() as con:
        with pytest.raises(stoadb.ProgrammingError, match="no folder"):
            con.save()
        con.execute("CREATE TABLE t AS SELECT i FROM range(1000) r(i)")
        assert con.save(folder)[0] == 1
    with stoadb.connect(folder) as con:
        assert con.execute("SELECT sum(i) FROM t").fetchone() == (499500,)
        con.execute("INSERT INTO t VALUES (1)")
        con.save()
        assert "db.stoa" in repr(con)
    with stoadb.connect() as other:
        with pytest.raises(stoadb.Error, match="neither opened nor saved"):
            other.save(folder)
    with stoadb.connect(str(folder)) as con:
        assert con.execute("SELECT sum(i) FROM t").fetchone() == (499501,)
    with pytest.raises(stoadb.OperationalError, match="nowhere"):
        stoadb.connect(tmp_path / "nowhere")


def test_settings():
    with stoadb.connect(threads=3, memory_limit="1GiB", optimizer=True) as con:
        assert con.get("threads") == "3" and con.get("memory_limit") == "1GiB"
        assert con.execute("SHOW threads").fetchall()[0][-1] in ("3", 3)
        con.set(timeout="100ms")
        with pytest.raises(stoadb.OperationalError) as raised:
            con.execute("SELECT sum(a.i * b.i % 7) FROM range(1000000) a(i), range(1000000) b(i)").fetchall()
        assert raised.value.code == "timeout"
    with pytest.raises(stoadb.Error, match="there is no setting 'colour'"):
        stoadb.connect(colour="blue")
    with pytest.raises(stoadb.DataError, match="threads takes"):
        stoadb.connect(threads=0)


def test_errors_say_where_and_what(con):
    with pytest.raises(stoadb.ProgrammingError) as raised:
        con.execute("SELECT 1,\n  colour FROM range(3) t(color)")
    error = raised.value
    assert (error.code, error.line, error.column) == ("unknown_name", 2, 3)
    assert "color" in error.hint and "LINE 2" in str(error) and isinstance(error, stoadb.Error)
    for sql, kind in [
        ("SELEC 1", stoadb.ProgrammingError),
        ("SELECT 'x'::INT", stoadb.DataError),
        ("SELECT 9223372036854775807 + i FROM range(2) r(i)", stoadb.DataError),
        ("SELECT * FROM 'no.parquet'", stoadb.OperationalError),
        ("GRANT ALL ON t TO u", stoadb.NotSupportedError),
    ]:
        with pytest.raises(kind):
            con.execute(sql).fetchall()


def test_scripts(con):
    cursor = con.execute("CREATE TABLE t (i INT); INSERT INTO t VALUES (1), (2); SELECT sum(i) FROM t;")
    assert cursor.fetchall() == [(3,)]
    with pytest.raises(stoadb.DataError):
        con.execute("INSERT INTO t VALUES (5); SELECT 1 / 0; SELECT 1").fetchall()
    assert con.execute("SELECT sum(i) FROM t").fetchone() == (8,)
    assert con.execute("").fetchall() == [] and con.execute(" -- nothing").fetchall() == []


def test_pep_249():
    assert (stoadb.apilevel, stoadb.threadsafety, stoadb.paramstyle) == ("2.0", 2, "qmark")
    assert issubclass(stoadb.Error, Exception) and issubclass(stoadb.Warning, Exception)
    assert issubclass(stoadb.InterfaceError, stoadb.Error) and issubclass(stoadb.DatabaseError, stoadb.Error)
    for name in "DataError OperationalError IntegrityError InternalError ProgrammingError NotSupportedError".split():
        assert issubclass(getattr(stoadb, name), stoadb.DatabaseError)
    assert stoadb.Date(2020, 1, 1) == stoadb.DateFromTicks(stoadb.Timestamp(2020, 1, 1).timestamp())
    assert stoadb.TimestampFromTicks(stoadb.Timestamp(2020, 1, 1, 5).timestamp()).hour == 5
    assert stoadb.TimeFromTicks(stoadb.Timestamp(2020, 1, 1, 5).timestamp()) == stoadb.Time(5)
    assert all(hasattr(stoadb, name) for name in stoadb.__all__)


def test_what_is_closed_is_refused():
    con = stoadb.connect()
    cursor = con.cursor()
    with pytest.raises(stoadb.ProgrammingError, match="no statement"):
        cursor.fetchone()
    with pytest.raises(stoadb.ProgrammingError, match="no statement"):
        con.fetchone()
    with con.cursor() as closing:
        closing.execute("SELECT 1")
    with pytest.raises(stoadb.ProgrammingError, match="cursor is closed"):
        closing.fetchone()
    reading = con.execute("SELECT i FROM range(10) r(i)")
    con.close()
    con.close()
    assert con.closed and "closed" in repr(con)
    assert len(reading.fetchall()) == 10
    for use in (lambda: con.execute("SELECT 1"), con.cursor().execute, con.begin, con.duplicate, con.interrupt):
        with pytest.raises((stoadb.ProgrammingError, TypeError)):
            use()


def test_cursors_share_the_connection(con):
    one, other = con.cursor(), con.cursor()
    one.execute("CREATE TEMP TABLE t AS SELECT 1 AS x")
    assert other.execute("SELECT x FROM t").fetchall() == [(1,)]
    one.execute("SELECT i FROM range(3) r(i)")
    other.execute("SELECT i FROM range(3) r(i)")
    assert (one.fetchone(), other.fetchone(), one.fetchone()) == ((0,), (0,), (1,))
