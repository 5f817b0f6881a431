"""Python's data as tables, read where they lie."""

import gc
import weakref

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest

import stoadb
from stoadb._inputs import as_input


def address(array):
    return array.__array_interface__["data"][0]


@pytest.mark.parametrize("kind", "i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 M8[us] M8[ns] m8[s]".split())
def test_numpy_arrays_are_not_copied(con, kind):
    array = np.arange(5000).astype(kind)
    data = as_input({"x": array})
    assert data.addresses == {"x": [address(array)]}
    con.register("t", data)
    found = con.execute("SELECT x FROM t").numpy()["x"]
    assert found.dtype == array.dtype and (found == array).all()


def test_arrow_data_are_not_copied(con):
    chunks = [pa.array(range(i, i + 1000), pa.int64()) for i in (0, 1000)]
    table = pa.table({"x": pa.chunked_array(chunks), "t": ["a", "b"] * 1000})
    found = as_input(table).addresses["x"]
    wanted = {chunk.buffers()[1].address for chunk in chunks}
    assert set(found) <= {a + 8 * i for a in wanted for i in range(1001)} and wanted <= set(found)
    frame = pl.DataFrame({"x": np.arange(1000.0)})
    series = frame["x"].to_arrow()
    assert as_input(frame).addresses["x"] == [series.buffers()[1].address]


def test_pandas_numbers_are_not_copied():
    array = np.arange(1000.0)
    frame = pd.DataFrame({"x": array}, copy=False)
    assert as_input(frame).addresses["x"] == [address(frame["x"].to_numpy(copy=False))]


def test_what_is_written_later_is_seen(con):
    array = np.zeros(1000)
    con.register("t", {"x": array})
    assert con.execute("SELECT sum(x) FROM t").fetchone() == (0.0,)
    array[:] = 2
    assert con.execute("SELECT sum(x), min(x), count(x) FROM t").fetchone() == (2000.0, 2.0, 1000)


def test_slices_and_steps():
    array = np.arange(100)
    assert as_input({"x": array[10:20]}).addresses["x"] == [address(array) + 80]
    for odd in (array[::3], array[::-1], array.astype(">i8"), np.asfortranarray(np.ones((3, 2)))[1]):
        with stoadb.connect() as con:
            con.register("t", {"x": odd})
            assert con.execute("SELECT x FROM t").numpy()["x"].tolist() == odd.tolist()


def test_other_arrays(con):
    con.register("booleans", np.array([True, False, True]))
    assert con.execute("SELECT value FROM booleans").fetchall() == [(True,), (False,), (True,)]
    con.register("texts", {"t": np.array(["a", "\u00e9", ""])})
    assert con.execute("SELECT t FROM texts").fetchall() == [("a",), ("\u00e9",), ("",)]
    con.register("objects", {"o": np.array(["a", None], dtype=object)})
    assert con.execute("SELECT o FROM objects").fetchall() == [("a",), (None,)]
    con.register("matrix", np.arange(6).reshape(3, 2))
    assert con.execute("SELECT column0, column1 FROM matrix").fetchall() == [(0, 1), (2, 3), (4, 5)]
    people = np.array([("x", 1, 0.5), ("y", 2, 1.5)], dtype=[("name", "U5"), ("n", "i4"), ("f", "f8")])
    con.register("people", people)
    assert con.execute("SELECT * FROM people").fetchall() == [("x", 1, 0.5), ("y", 2, 1.5)]
    con.register("masked", {"m": np.ma.array([1, 2, 3], mask=[0, 1, 0])})
    assert con.execute("SELECT m FROM masked").fetchall() == [(1,), (None,), (3,)]
    con.register("times", {"d": np.array(["2020-01-02", "NaT"], dtype="M8[D]")})
    assert [row[0] and row[0].day for row in con.execute("SELECT d FROM times").fetchall()] == [2, None]
    con.register("half", {"h": np.array([0.5, 2], dtype="f2")})
    assert con.execute("SELECT sum(h) FROM half").fetchone() == (2.5,)
    con.register("empty", {"e": np.array([], dtype="f8")})
    assert con.execute("SELECT count(*), sum(e) FROM empty").fetchone() == (0, None)
    con.register("lists", {"l": [1, None, 3], "t": ["x", "y", None], "r": range(3)})
    assert con.execute("SELECT * FROM lists").fetchall() == [(1, "x", 0), (None, "y", 1), (3, None, 2)]


def test_nan_stays_nan_and_null_stays_null(con):
    con.register("t", {"x": np.array([1.0, np.nan])})
    assert con.execute("SELECT count(x) FROM t").fetchone() == (2,)
    con.register("f", pd.DataFrame({"x": [1.0, None], "t": ["a", None], "d": pd.to_datetime(["2020-01-01", None])}))
    assert con.execute("SELECT count(x), count(t), count(d) FROM f").fetchone() == (2, 1, 1)


@pytest.mark.parametrize(
    "make",
    [
        pa.table,
        lambda data: pa.RecordBatchReader.from_batches(pa.table(data).schema, pa.table(data).to_batches()),
        lambda data: pa.table(data).to_batches()[0],
        lambda data: pa.dataset.dataset(pa.table(data)),
        lambda data: pa.table(data).to_struct_array().combine_chunks(),
        pd.DataFrame,
        lambda data: pd.DataFrame(data).convert_dtypes(dtype_backend="pyarrow"),
        lambda data: pd.DataFrame(data, index=["p", "q", "r"]),
        pl.DataFrame,
        lambda data: pl.DataFrame(data).lazy(),
        lambda data: {name: pl.Series(values) for name, values in data.items()},
        lambda data: {name: pd.Series(values) for name, values in data.items()},
        lambda data: {name: pa.chunked_array([values[:1], values[1:]]) for name, values in data.items()},
        dict,
    ],
)
def test_tables_of_every_kind(con, make):
    data = {"i": [1, 2, 3], "t": ["a", "b", "c"], "f": [0.5, -1.5, 2.5]}
    con.register("t", make(data))
    assert con.execute("SELECT * FROM t").fetchall() == [(1, "a", 0.5), (2, "b", -1.5), (3, "c", 2.5)]
    assert con.execute("SELECT t, sum(i) FROM t WHERE f > 0 GROUP BY t ORDER BY t").fetchall() == [("a", 1), ("c", 3)]


def test_series_and_single_arrays(con):
    for data in (pl.Series("value", [1, 2]), pd.Series([1, 2]), pa.array([1, 2]), pa.chunked_array([[1], [2]])):
        con.register("t", data)
        assert con.execute("SELECT sum(value) FROM t").fetchone() == (3,)


def test_variables_are_tables(con):
    frame = pd.DataFrame({"x": [1, 2, 3]})
    array = np.arange(4)  # noqa: F841
    assert con.execute("SELECT sum(x) FROM frame").fetchone() == (6,)
    assert con.execute("SELECT count(*) FROM frame, array").fetchone() == (12,)
    assert con.execute("WITH c AS (SELECT * FROM frame) SELECT count(*) FROM c").fetchone() == (3,)
    con.execute("CREATE TABLE frame AS SELECT x + 1 AS x FROM frame")
    assert con.execute("SELECT sum(x) FROM frame").fetchone() == (9,), "the database's own table comes first"
    con.execute("DROP TABLE frame")
    frame = pd.DataFrame({"x": [10]})
    assert con.execute("SELECT sum(x) FROM frame").fetchone() == (10,), "the variable is looked at anew"
    relation = con.sql("SELECT * FROM frame")
    frame = None
    assert relation.fetchall() == [(10,)]
    assert con.sql("SELECT x + 1 AS x FROM relation").fetchall() == [(11,)]
    assert con.execute("SHOW TABLES").fetchall() == []
    con.execute("CREATE TABLE t (x BIGINT)")
    numbers = {"x": np.arange(3)}  # noqa: F841
    con.execute("INSERT INTO t SELECT * FROM numbers")
    assert con.execute("SELECT sum(x) FROM t").fetchone() == (3,)


GLOBAL = {"x": np.arange(5)}


def test_variables_of_the_module_and_no_others(con):
    assert con.execute("SELECT count(*) FROM GLOBAL").fetchone() == (5,)
    text = "not a table"  # noqa: F841
    with pytest.raises(stoadb.ProgrammingError, match="text"):
        con.execute("SELECT * FROM text")
    con.replacement_scans = False
    with pytest.raises(stoadb.ProgrammingError, match="GLOBAL|global"):
        con.execute("SELECT count(*) FROM GLOBAL")


def test_what_is_registered_lives_until_it_is_unregistered(con):
    array = np.arange(1000.0)

    class Watched(np.ndarray):
        pass

    watched = array.view(Watched)
    gone = weakref.ref(watched)
    con.register("t", {"x": watched})
    del watched, array
    gc.collect()
    assert con.execute("SELECT sum(x) FROM t").fetchone() == (499500.0,)
    reading = con.execute("SELECT x FROM t")
    assert con.unregister("t") and not con.unregister("t")
    assert len(reading.fetchall()) == 1000
    with pytest.raises(stoadb.ProgrammingError):
        con.execute("SELECT * FROM t")
    del reading
    con._last = None
    gc.collect()
    assert gone() is None


def test_bad_inputs_are_refused_by_name(con):
    for bad in (1, "text", object(), None, [1, 2], np.float64(1)):
        with pytest.raises(stoadb.InterfaceError, match="no table"):
            con.register("t", bad)
    with pytest.raises(stoadb.DataError, match="'b' has 2 values, column 'a' has 3"):
        con.register("t", {"a": np.arange(3), "b": np.arange(2)})
    with pytest.raises(stoadb.Error, match="different types"):
        con.register("t", {"a": [1, "x"]})
    with pytest.raises(stoadb.Error, match="at least one column"):
        con.register("t", {})
    with pytest.raises(stoadb.InterfaceError, match="dimension"):
        con.register("t", np.ones((2, 2, 2)))
    con.execute("CREATE TABLE taken (x INT)")
    with pytest.raises(stoadb.ProgrammingError, match="taken"):
        con.register("taken", {"x": [1]})
