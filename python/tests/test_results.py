"""Rows as Python values, Arrow data, NumPy arrays and data frames."""

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import stoadb


def one(con, sql, params=None):
    (row,) = con.execute(sql, params).fetchall()
    return row[0]


@pytest.mark.parametrize(
    ("sql", "value"),
    [
        ("NULL", None),
        ("true", True),
        ("127::TINYINT", 127),
        ("(-9223372036854775808)::BIGINT", -(2**63)),
        ("18446744073709551615::UBIGINT", 2**64 - 1),
        ("0.1::DOUBLE", 0.1),
        ("1.5::REAL", 1.5),
        ("12.30::DECIMAL(10, 2)", Decimal("12.30")),
        ("-0.001::DECIMAL(38, 3)", Decimal("-0.001")),
        ("99999999999999999999999999999999999999::DECIMAL(38, 0)", 10**38 - 1),
        ("'h\u00e9llo \U0001f40d'", "h\u00e9llo \U0001f40d"),
        ("'\\x00\\xff'::BLOB", b"\x00\xff"),
        ("DATE '1970-01-01'", dt.date(1970, 1, 1)),
        ("DATE '0001-01-01'", dt.date(1, 1, 1)),
        ("DATE '9999-12-31'", dt.date(9999, 12, 31)),
        ("TIME '23:59:59.999999'", dt.time(23, 59, 59, 999999)),
        ("TIMESTAMP '1969-12-31 23:59:59.000001'", dt.datetime(1969, 12, 31, 23, 59, 59, 1)),
        ("INTERVAL '3 days 2 seconds'", dt.timedelta(days=3, seconds=2)),
        ("[1, NULL, 3]", [1, None, 3]),
        ("[[1], []]", [[1], []]),
        ("{'a': 1, 'b': 'x'}", {"a": 1, "b": "x"}),
        ("MAP {'k': 1}", {"k": 1}),
    ],
)
def test_values_come_as_pythons_own(con, sql, value):
    found = one(con, f"SELECT {sql}")
    assert found == value
    assert type(found) is type(value)


def test_what_python_has_no_value_for_comes_as_text(con):
    assert one(con, "SELECT DATE '12000-01-01'") == "12000-01-01"
    assert "month" in one(con, "SELECT INTERVAL '2 months'") or "mons" in one(con, "SELECT INTERVAL '2 months'")


def test_instants_come_in_their_zone(con):
    con.register("t", pa.table({"x": pa.array([0], pa.timestamp("us", "Europe/Berlin"))}))
    found = one(con, "SELECT x FROM t")
    assert found == dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
    assert found.tzinfo == ZoneInfo("Europe/Berlin") and found.hour == 1
    con.register("u", pa.table({"x": pa.array([0], pa.timestamp("ns", "-03:30"))}))
    assert one(con, "SELECT x FROM u").utcoffset() == -dt.timedelta(hours=3, minutes=30)


def test_special_doubles(con):
    nan, inf, zero = con.execute("SELECT 'nan'::DOUBLE, '-inf'::DOUBLE, -0.0::DOUBLE").fetchone()
    assert nan != nan and inf == float("-inf") and str(zero) == "-0.0"


def test_fetching_gives_each_row_once(con):
    cursor = con.execute("SELECT i FROM range(10000) r(i)")
    assert cursor.fetchone() == (0,)
    assert cursor.fetchmany(3) == [(1,), (2,), (3,)]
    assert cursor.fetchmany() == [(4,)]
    assert cursor.fetchmany(0) == []
    cursor.arraysize = 2
    assert cursor.fetchmany() == [(5,), (6,)]
    rest = cursor.fetchall()
    assert rest == [(i,) for i in range(7, 10000)]
    assert cursor.fetchone() is None and cursor.fetchall() == [] and cursor.fetchmany(5) == []
    cursor.execute("SELECT i FROM range(5000) r(i)").fetchmany(10)
    assert cursor.arrow().column("i").to_pylist() == list(range(10, 5000))
    assert list(con.execute("SELECT i FROM range(3000) r(i)")) == [(i,) for i in range(3000)]


def test_descriptions(con):
    cursor = con.execute("SELECT 1 AS a, 'x' AS b, 1.5::DOUBLE AS c, now() AS d")
    assert [column[0] for column in cursor.description] == ["a", "b", "c", "d"]
    types = [column[1] for column in cursor.description]
    assert types[0] == stoadb.NUMBER and types[1] == stoadb.STRING
    assert types[2] == stoadb.NUMBER and types[3] == stoadb.DATETIME and types[1] != stoadb.NUMBER
    assert all(len(column) == 7 for column in cursor.description)
    assert cursor.rowcount == -1
    cursor.execute("CREATE TABLE t (x INT)")
    assert cursor.description is None
    cursor.execute("INSERT INTO t VALUES (1), (2)")
    assert cursor.rowcount == 2 and con.rowcount == 2


QUERY = (
    "SELECT i, i::DOUBLE / 4 AS d, 'text ' || (i % 7) AS t, i % 2 = 0 AS b, DATE '2020-01-01' + i::INT AS day, "
    "CASE WHEN i % 3 = 0 THEN i END AS n, (i / 100.0)::DECIMAL(10, 2) AS p FROM range(5000) r(i)"
)


def test_arrow_frames_and_arrays_agree(con):
    rows = con.execute(QUERY).fetchall()
    table = con.execute(QUERY).arrow()
    assert isinstance(table, pa.Table) and table.num_rows == 5000
    assert list(zip(*(column.to_pylist() for column in table.columns))) == rows
    frame = con.execute(QUERY).df()
    assert isinstance(frame, pd.DataFrame) and list(frame.columns) == table.column_names
    assert frame["i"].tolist() == [row[0] for row in rows]
    assert frame["t"].tolist() == [row[2] for row in rows]
    assert frame["n"].isna().sum() == sum(row[5] is None for row in rows)
    assert frame["p"].dtype == np.float64 and frame["p"][123] == 1.23
    polars = con.execute(QUERY).pl()
    assert isinstance(polars, pl.DataFrame) and polars.rows() == rows
    arrays = con.execute(QUERY).numpy()
    assert arrays["i"].dtype == np.int64 and arrays["d"].dtype == np.float64
    assert arrays["b"].dtype == np.bool_ and arrays["b"].tolist() == [row[3] for row in rows]
    assert arrays["day"].dtype == np.dtype("M8[D]") and arrays["day"].tolist() == [row[4] for row in rows]
    assert arrays["t"].dtype == object and arrays["t"].tolist() == [row[2] for row in rows]
    assert isinstance(arrays["n"], np.ma.MaskedArray)
    assert arrays["n"].tolist() == [row[5] for row in rows]
    assert arrays["p"].tolist() == [float(row[6]) for row in rows]


def test_empty_results_have_their_columns(con):
    query = f"SELECT * FROM ({QUERY}) WHERE i < 0"
    assert con.execute(query).arrow().num_rows == 0
    assert con.execute(query).df().shape == (0, 7)
    assert con.execute(query).pl().shape == (0, 7)
    assert {name: len(array) for name, array in con.execute(query).numpy().items()} == dict.fromkeys(
        ["i", "d", "t", "b", "day", "n", "p"], 0
    )


def test_times_in_numpy(con):
    sql = "SELECT * FROM (VALUES (TIMESTAMP '2020-01-01 00:00:01'), (NULL)) v(x)"
    array = con.execute(sql).numpy()["x"]
    assert array.dtype.kind == "M" and np.isnat(array[1]) and array[0] == np.datetime64("2020-01-01T00:00:01")


def test_columns_of_one_name(con):
    sql = "SELECT 1 AS a, 2 AS a, 3 AS a_1"
    assert [column[0] for column in con.execute(sql).description] == ["a", "a", "a_1"]
    assert con.execute(sql).fetchall() == [(1, 2, 3)]
    assert con.execute(sql).arrow().column_names == ["a", "a", "a_1"]
    assert sorted(array[0] for array in con.execute(sql).numpy().values()) == [1, 2, 3]
    assert sorted(con.execute(sql).df().iloc[0]) == [1, 2, 3]
    assert sorted(con.execute(sql).pl().row(0)) == [1, 2, 3]


def test_streams_are_computed_while_they_are_read(con):
    reader = con.execute("SELECT i FROM range(60000000000) r(i)").fetch_record_batch()
    first = reader.read_next_batch()
    assert first.column(0)[0].as_py() == 0 and first.num_rows > 0
    del reader
    stream = pa.RecordBatchReader.from_stream(con.execute("SELECT i FROM range(100000) r(i)"))
    assert sum(batch.num_rows for batch in stream) == 100000
    frame = pl.DataFrame(con.execute("SELECT i FROM range(100000) r(i)"))
    assert frame["i"].sum() == 99999 * 50000


def test_errors_of_a_stream_reach_its_reader(con):
    reader = con.execute("SELECT 1 / (i - 70000) FROM range(100000) r(i)").fetch_record_batch()
    with pytest.raises(Exception, match="zero"):
        reader.read_all()


def test_arrays_of_one_batch_are_not_copied(con):
    values = np.arange(1000.0)
    con.register("t", {"x": values})
    found = con.execute("SELECT x FROM t").numpy()["x"]
    assert (found == values).all()
    if found.__array_interface__["data"][0] == values.__array_interface__["data"][0]:
        assert not found.flags.writeable
