"""Functions written in Python."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import stoadb


def test_functions_of_rows(con):
    def shout(text: str, times: int) -> str:
        return text.upper() + "!" * times

    con.create_function("shout", shout)
    assert con.execute("SELECT shout('hey', 2)").fetchone() == ("HEY!!",)
    sql = "SELECT shout(t, n) FROM (VALUES ('a', 1), (NULL, 1), ('b', NULL)) v(t, n)"
    assert con.execute(sql).fetchall() == [("A!",), (None,), (None,)]
    con.create_function("is_null", lambda x: x is None, ["BIGINT"], bool, nulls=True)
    assert con.execute("SELECT is_null(x) FROM (VALUES (1), (NULL)) v(x)").fetchall() == [(False,), (True,)]
    other = con.duplicate()
    assert other.execute("SELECT shout('x', 0)").fetchone() == ("X",)


def test_functions_of_arrays(con):
    calls = []

    def plus(a, b):
        calls.append(len(a))
        return pc.add(a, b)

    con.create_function("plus", plus, [pa.int64(), "BIGINT"], int, kind="arrow")
    sql = "SELECT sum(plus(i, i)), count(plus(i, NULL)) FROM range(100000) r(i)"
    assert con.execute(sql).fetchone() == (99999 * 100000, 0)
    assert sum(calls) >= 100000 and len(calls) <= 1000
    con.create_function("halves", lambda a: a.to_numpy(zero_copy_only=False) / 2, ["DOUBLE"], "DOUBLE", kind="arrow")
    assert con.execute("SELECT sum(halves(i)) FROM range(10) r(i)").fetchone() == (22.5,)
    con.create_function("words", lambda a: [str(x) for x in a.to_pylist()], ["BIGINT"], "TEXT", kind="arrow")
    assert con.execute("SELECT words(i) FROM range(2) r(i)").fetchall() == [("0",), ("1",)]


def test_aggregates(con):
    con.create_function("spread", lambda a: pc.max(a).as_py() - pc.min(a).as_py(), [float], float, kind="aggregate")
    sql = "SELECT i % 2, spread(i) FROM range(10) r(i) GROUP BY 1 ORDER BY 1"
    assert con.execute(sql).fetchall() == [(0, 8.0), (1, 8.0)]


def test_what_a_function_raises_is_the_cause(con):
    def bad(x: int) -> int:
        if x == 5000:
            raise KeyError("five thousand")
        return x

    con.create_function("bad", bad)
    with pytest.raises(stoadb.DataError, match="KeyError: 'five thousand'") as raised:
        con.execute("SELECT sum(bad(i)) FROM range(10000) r(i)").fetchall()
    assert isinstance(raised.value.__cause__, KeyError)
    assert con.execute("SELECT sum(bad(i)) FROM range(100) r(i)").fetchone() == (4950,)


def test_what_a_function_gives_is_checked(con):
    con.create_function("short", lambda a: a[:1], [int], int, kind="arrow")
    con.create_function("texts", lambda x: "abc", [int], int)
    con.create_function("nothing", lambda a: None, [int], int, kind="arrow")
    for name in ("short", "texts", "nothing"):
        with pytest.raises(stoadb.DataError):
            con.execute(f"SELECT {name}(i) FROM range(10) r(i)").fetchall()


def test_a_function_cannot_use_a_connection(con):
    con.create_function("again", lambda x: con.execute("SELECT 1").fetchone()[0], [int], int)
    with pytest.raises(stoadb.DataError, match="cannot use a connection"):
        con.execute("SELECT sum(again(i)) FROM range(10) r(i)").fetchall()


def test_bad_declarations(con):
    with pytest.raises(stoadb.InterfaceError, match="'a' is not known"):
        con.create_function("f", lambda a: a)
    with pytest.raises(stoadb.InterfaceError, match="result"):
        con.create_function("f", lambda a: a, [int])
    with pytest.raises(stoadb.InterfaceError, match="no kind"):
        con.create_function("f", lambda a: a, [int], int, kind="odd")
    with pytest.raises(stoadb.Error, match="NOTYPE|notype"):
        con.create_function("f", lambda a: a, ["NOTYPE"], int)
    with pytest.raises(stoadb.InterfaceError, match="is no type"):
        con.create_function("f", lambda a: a, [3], int)
    with pytest.raises(stoadb.ProgrammingError, match="function of SQL"):
        con.create_function("abs", lambda a: a, [int], int)


def test_functions_run_while_streams_are_read_by_others(con):
    import polars as pl

    con.create_function("same", lambda x: x, [int], int)
    frame = pl.DataFrame(con.execute("SELECT same(i) AS i FROM range(20000) r(i)"))
    assert frame["i"].sum() == 19999 * 10000
    table = pa.table(con.execute("SELECT same(i) AS i FROM range(20000) r(i)"))
    assert np.asarray(table["i"]).sum() == 19999 * 10000
