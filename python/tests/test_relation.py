"""Queries built step by step, and how they are shown."""

import numpy as np
import pandas as pd
import pytest

import stoadb


@pytest.fixture
def sales(con):
    con.execute(
        "CREATE TABLE sales AS SELECT i AS id, i % 3 AS shop, (i * 7) % 11 AS price FROM range(100) r(i)"
    )
    return con.table("sales")


def test_building_agrees_with_sql(con, sales):
    assert sales.filter("price > 5 -- dear").count() == con.execute(
        "SELECT count(*) FROM sales WHERE price > 5"
    ).fetchone()[0]
    total = sales.aggregate("sum(price) AS total, count(*)", by="shop").order("shop")
    assert total.columns == ["shop", "total", "count(*)"]
    wanted = "SELECT shop, sum(price), count(*) FROM sales GROUP BY shop ORDER BY shop"
    assert total.fetchall() == con.execute(wanted).fetchall()
    first = sales.order("price DESC, id").limit(5, offset=2).project("id, price * 2 AS twice")
    wanted = "SELECT id, price * 2 FROM sales ORDER BY price DESC, id LIMIT 5 OFFSET 2"
    assert first.fetchall() == con.execute(wanted).fetchall()
    assert sales.order("id DESC").limit(5).limit(2).fetchall() == sales.order("id DESC").limit(2).fetchall()
    assert sorted(sales.project("shop").distinct().fetchall()) == [(0,), (1,), (2,)]
    assert sales.union(sales).count() == 200
    assert sales.aggregate("sum(price)").fetchone() == con.execute("SELECT sum(price) FROM sales").fetchone()


def test_joins(con, sales):
    shops = con.sql("SELECT * FROM (VALUES (0, 'a'), (1, 'b')) v(shop, name)")
    joined = sales.join(shops, "shop")
    assert joined.columns == ["id", "shop", "price", "name"] or set(joined.columns) == {"id", "shop", "price", "name"}
    assert joined.count() == 67
    assert sales.join(shops, "l.shop = r.shop AND r.name = 'a'").count() == 34
    assert sales.join(shops, "shop", how="left").count() == 100
    assert sales.join(shops, "shop", how="anti").count() == 33
    assert sales.join(shops, "", how="cross").count() == 200
    with pytest.raises(stoadb.InterfaceError, match="no kind of joins"):
        sales.join(shops, "shop", how="sideways")
    with stoadb.connect() as other, pytest.raises(stoadb.InterfaceError, match="different connections"):
        sales.join(other.sql("SELECT 1 AS shop"), "shop")


def test_relations_are_lazy_and_run_anew(con, sales):
    bad = sales.project("1 / (id - id)")
    with pytest.raises(stoadb.DataError):
        bad.fetchall()
    relation = sales.filter("shop = 0")
    before = relation.count()
    con.execute("INSERT INTO sales VALUES (1000, 0, 1)")
    assert relation.count() == before + 1
    assert len(relation.df()) == len(relation.arrow()) == len(relation.pl()) == before + 1
    assert len(relation.numpy()["id"]) == before + 1
    assert relation.fetchone() is not None
    assert len(relation.df()) == before + 1
    assert len(relation.fetchall()) == before
    assert len(relation.execute().fetchall()) == before + 1


def test_parameters_of_relations(con, sales):
    relation = con.sql("SELECT * FROM sales WHERE price > $least", {"least": 5})
    wanted = con.execute("SELECT count(*) FROM sales WHERE price > 5 AND shop = 1").fetchone()[0]
    assert relation.filter("shop = 1").count() == wanted
    both = relation.join(con.sql("SELECT $one AS shop", {"one": 1}), "shop")
    assert both.count() == wanted
    by_number = con.sql("SELECT * FROM sales WHERE id = ?", [7])
    assert by_number.limit(5).fetchall() == [(7, 1, 5)]
    with pytest.raises(stoadb.InterfaceError, match="by name"):
        by_number.union(by_number)


def test_variables_of_relations(con):
    frame = pd.DataFrame({"x": [1, 2, 3]})  # noqa: F841
    relation = con.sql("SELECT x FROM frame").filter("x > 1")
    del frame
    assert relation.fetchall() == [(2,), (3,)]
    assert con.table_of({"x": np.arange(3)}).filter("x > 0").fetchall() == [(1,), (2,)]


def test_statements_that_are_no_queries_run_at_once(con):
    assert con.sql("CREATE TABLE t (x INT)") is None
    assert con.sql("INSERT INTO t VALUES (1)") is None
    assert con.sql("SHOW TABLES").fetchall()[0][0] == "t"
    assert con.sql("DESCRIBE t").columns[0] == con.execute("DESCRIBE t").description[0][0]


def test_show(con, sales, capsys):
    sales.order("id").project("id, 'x\ny' AS t, NULL AS n").limit(2).show()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["id", "|", "t", "|", "n"]
    assert lines[3].split() == ["0", "|", "x", "y", "|", "NULL"]
    assert lines[-1] == "(2 rows)"
    sales.show(3)
    assert capsys.readouterr().out.splitlines()[-1] == "(3 rows, there are more)"
    assert "100 rows" not in repr(sales) and "there are more" in repr(sales)
    assert "(1 row)" in repr(sales.limit(1))
    html = con.sql("SELECT '<b>' AS \"<i>\"")._repr_html_()
    assert "&lt;b&gt;" in html and "&lt;i&gt;" in html and "<b>" not in html


def test_explain_and_bytes(con, sales):
    assert "sales" in sales.explain()
    analyzed = sales.filter("price > 5").explain(analyze=True)
    assert "touched" in analyzed
    con.register("wide", {f"c{i}": np.arange(10000.0) for i in range(10)})
    cursor = con.execute("SELECT sum(c3) FROM wide")
    cursor.fetchall()
    assert cursor.bytes_touched == 80000
    relation = con.sql("SELECT sum(c3 + c4) FROM wide")
    assert relation.bytes_touched is None
    relation.fetchall()
    assert relation.bytes_touched == 160000


def test_statistics():
    rng = np.random.default_rng(7)
    values = rng.normal(size=10001)
    found = stoadb.stats(values)
    assert (found.count, found.nulls) == (10001, 0)
    assert (found.min, found.max) == (values.min(), values.max())
    assert found.mean == pytest.approx(values.mean(), rel=1e-12, abs=1e-12)
    assert found["stddev"] == pytest.approx(values.std(ddof=1))
    assert [found.q25, found.median, found.q75] == pytest.approx(list(np.quantile(values, [0.25, 0.5, 0.75])))
    assert "median" in repr(found)
    with pytest.raises(AttributeError):
        found.colour
    assert "median" not in stoadb.stats(values, quartiles=False)
    assert stoadb.quantile(values, 0.1) == pytest.approx(np.quantile(values, 0.1))
    assert stoadb.quantile([3, 1, 2], [0, 1]) == [1, 3] and stoadb.quantile([1], []) == []
    with pytest.raises(stoadb.InterfaceError):
        stoadb.quantile(values, 2)
    texts = stoadb.stats(["b", None, "a", "a"])
    assert (texts.count, texts.nulls, texts.min, texts.max, texts.distinct_values) == (4, 1, "a", "b", 2)
    assert stoadb.stats(pd.Series([1, 2, 3])).sum == 6


@pytest.mark.parametrize("bins", [1, 3, 10, 97])
def test_histograms_are_those_of_numpy(bins):
    rng = np.random.default_rng(bins)
    for values in (rng.normal(size=5000), rng.integers(0, 10, 1000), np.array([1.0]), np.arange(100) / 10):
        counts, edges = stoadb.histogram(values, bins)
        wanted, wanted_edges = np.histogram(values, bins)
        assert counts == wanted.tolist()
        assert edges == pytest.approx(wanted_edges.tolist())
    counts, edges = stoadb.histogram([0.5, 2.5, 9.0, None, float("nan")], bins, range=(0, 5))
    assert counts == np.histogram([0.5, 2.5, 9.0], bins, range=(0, 5))[0].tolist()
    assert sum(stoadb.histogram(np.array([]), bins)[0]) == 0
    with pytest.raises(stoadb.InterfaceError):
        stoadb.histogram([1], 0)
    with pytest.raises(stoadb.InterfaceError):
        stoadb.histogram([1.0, float("inf")], bins)


def test_describe():
    found = stoadb.describe({"a": np.arange(10), "b": ["x"] * 10})
    assert [row[0] for row in found.fetchall()] == ["a", "b"]
    assert stoadb.sql("SELECT 41 + 1").fetchone() == (42,)
