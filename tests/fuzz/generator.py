"""Random tables and random queries over them, in SQL that StoaDB and a peer (DuckDB or SQLite) both speak.

What is left out here is what the engines mean differently by choice (docs/sql.md), rule by rule:

- Integers divide as in PostgreSQL, and a division by zero is an error: divisors are `nullif(x, 0)`.
- corr() and regr_slope() of a side that never varies are NULL as in PostgreSQL, covar_pop() rounds otherwise: left out.
- array_to_string() of NULLs alone is empty, as in PostgreSQL: lists have a value that is none. levenshtein() counts letters.
- DISTINCT ON wants its keys first in ORDER BY, as in PostgreSQL.
- Decimals divide to other scales, and `avg` of them too: they are cast to DOUBLE before.
- `sum(BIGINT)` stays a BIGINT: wide integers are summed as DECIMAL(38, 0).
- Overflow is an error whenever a row reaches it, and engines reach different rows: arithmetic is over small numbers
  (`tame` columns), extremes are compared, grouped, joined and sorted.
- Doubles are added in another order: what is added is a multiple of 0.25 below 2^20, so that every order is exact.
- bit_count() takes whole numbers for 64 bits: negative ones are left out.
- A text with a fraction is no INTEGER, as in PostgreSQL: fractions are cut out before TRY_CAST.
- Texts are cut from positions >= 1; there is no upper(), as of sharp s StoaDB makes two letters; no backslash in LIKE.
- Rows of equal rank may come in any order: LIMIT, ROWS frames and positions follow a total order of all columns, and
  QUALIFY keeps or drops equal rows together.
- Scalar subqueries are aggregates, so that they have one row.

For SQLite in addition: no NaN (NULL there), no types but integers, doubles and texts, booleans are numbers, LIKE ignores
case, and there are no ANY and ALL, no grouping sets, no ALL set operations but UNION.
"""

import random

EDGE = {
    "INTEGER": ["0", "1", "-1", "2147483647", "-2147483648", "7", "100", "-5"],
    "BIGINT": ["0", "1", "-1", "9223372036854775807", "-9223372036854775808", "4294967296", "-2147483649", "42"],
    "SMALLINT": ["0", "1", "-1", "32767", "-32768", "12"],
    "TINYINT": ["0", "1", "-1", "127", "-128", "5"],
    "UBIGINT": ["0", "1", "18446744073709551615", "9223372036854775808", "3"],
    "DOUBLE": ["0.0", "'-0.0'", "1.5", "'NaN'", "'Infinity'", "'-Infinity'", "1e308", "-1e308", "5e-324", "0.1", "-2.75"],
    "DECIMAL(9,2)": ["0.00", "0.01", "-0.01", "9999999.99", "-9999999.99", "12.50"],
    "DECIMAL(30,4)": ["0.0000", "0.0001", "99999999999999999999999999.9999", "-99999999999999999999999999.9999", "1.5"],
    "VARCHAR": ["''", "'a'", "'A'", "'b'", "'ab'", "'abc'", "' a '", "'é'", "'日本'", "'😀x'", "'a%b'", "'10'",
                "'zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz'", "'aaaaaaaaaaaab'", "'aaaaaaaaaaaac'"],
    "BOOLEAN": ["true", "false"],
    "DATE": ["DATE '1970-01-01'", "DATE '0001-01-01'", "DATE '9999-12-31'", "DATE '2024-02-29'", "DATE '1999-12-31'"],
    "TIMESTAMP": ["TIMESTAMP '1970-01-01 00:00:00'", "TIMESTAMP '0001-01-01 00:00:00'",
                  "TIMESTAMP '9999-12-31 23:59:59.999999'", "TIMESTAMP '2024-02-29 12:34:56.789'",
                  "TIMESTAMP '1969-12-31 23:59:59.999999'"],
}
TAME_INT = ["0", "1", "2", "3", "4", "5", "-1", "-3", "17", "100"]
TAME_DOUBLE = ["0.0", "0.25", "0.5", "1.0", "-1.5", "2.75", "100.0", "-32.25"]
# Families of types whose values mix in an expression.
INT, DOUBLE, DECIMAL, TEXT, BOOL, DATE, TIME = "int", "double", "decimal", "text", "bool", "date", "time"
FAMILY = {"INTEGER": INT, "BIGINT": INT, "SMALLINT": INT, "TINYINT": INT, "UBIGINT": INT, "DOUBLE": DOUBLE,
          "DECIMAL(9,2)": DECIMAL, "DECIMAL(30,4)": DECIMAL, "VARCHAR": TEXT, "BOOLEAN": BOOL, "DATE": DATE,
          "TIMESTAMP": TIME}


class Column:
    """A column in scope: how it is written, its family, and whether arithmetic on it stays small and exact."""

    def __init__(self, name, family, tame):
        self.name, self.family, self.tame = name, family, tame


class Generator:
    def __init__(self, seed, sqlite=False):
        self.random = random.Random(seed)
        self.sqlite = sqlite
        self.tables = {}
        self.aliases = 0
        self.depth = 0
        self.ctes = {}

    # Small helpers.

    def chance(self, percent):
        return self.random.random() * 100 < percent

    def pick(self, items):
        return self.random.choice(items)

    def alias(self, letter="q"):
        self.aliases += 1
        return f"{letter}{self.aliases}"

    # Tables.

    def schema(self):
        """Statements that make the tables; names and types are the same in all engines."""
        statements = []
        for number in range(self.random.randint(2, 4)):
            name = f"t{number}"
            types = ["INTEGER", "DOUBLE", "VARCHAR"]  # a: small integers, b: small exact doubles, c: texts
            more = ["BIGINT", "VARCHAR", "INTEGER"] if self.sqlite else list(EDGE)
            types += [self.pick(more) for _ in range(self.random.randint(1, 4))]
            columns = []
            for at, kind in enumerate(types):
                columns.append((f"{'abcdefghi'[at]}", kind, at < 2))
            self.tables[name] = [Column(n, FAMILY[k], tame) for n, k, tame in columns]
            body = ", ".join(f"{n} {k}" for n, k, _ in columns)
            statements.append(f"CREATE TABLE {name} ({body})")
            rows = self.pick([0, 1, 5, 12, 30, 30, 30, 30])
            if rows:
                values = ", ".join(self.row(columns) for _ in range(rows))
                statements.append(f"INSERT INTO {name} VALUES {values}")
        return statements

    def row(self, columns):
        return "(" + ", ".join(self.value(kind, tame) for _, kind, tame in columns) + ")"

    def value(self, kind, tame):
        if self.chance(15):
            return "NULL"
        if tame:
            return self.pick(TAME_INT if kind == "INTEGER" else TAME_DOUBLE)
        if kind == "DOUBLE":
            return f"CAST({self.pick(EDGE[kind])} AS DOUBLE)"
        if kind == "BIGINT" and self.sqlite:
            return self.pick(["0", "1", "-1", "9223372036854775807", "-9223372036854775807", "4294967296"])
        if kind.startswith("DECIMAL"):
            return f"CAST('{self.pick(EDGE[kind])}' AS {kind})"
        return self.pick(EDGE[kind])

    # Literals and expressions.

    def literal(self, family):
        if family == INT:
            return self.pick(TAME_INT)
        if family == DOUBLE:
            return f"CAST({self.pick(TAME_DOUBLE)} AS DOUBLE)"
        if family == DECIMAL:
            return f"CAST('{self.pick(['0.00', '1.50', '-2.25', '12.50'])}' AS DECIMAL(9,2))"
        if family == TEXT:
            return self.pick(EDGE["VARCHAR"])
        if family == BOOL:
            return self.pick(["true", "false"])
        return self.pick(EDGE["DATE" if family == DATE else "TIMESTAMP"])

    def families(self):
        return [INT, DOUBLE, TEXT] if self.sqlite else [INT, INT, DOUBLE, DECIMAL, TEXT, TEXT, BOOL, DATE, TIME]

    def column(self, scope, family, tame):
        fits = [c for c in scope if c.family == family and (c.tame or not tame)]
        return self.pick(fits).name if fits else None

    def expression(self, scope, family, depth, tame=False):
        """An expression of a family; `tame` ones stay small and exact."""
        if depth <= 0 or self.chance(30):
            column = self.column(scope, family, tame) if self.chance(80) else None
            if column:
                return column
            return "NULL" if self.chance(4) and not tame and not self.sqlite and family == INT else self.literal(family)
        shape = self.random.randrange(10)
        if shape == 0:
            branches = " ".join(
                f"WHEN {self.predicate(scope, depth - 1)} THEN {self.expression(scope, family, depth - 1, tame)}"
                for _ in range(self.random.randint(1, 2)))
            other = f" ELSE {self.expression(scope, family, depth - 1, tame)}" if self.chance(70) else ""
            return f"CASE {branches}{other} END"
        if shape == 1:
            return f"coalesce({self.expression(scope, family, depth - 1, tame)}, {self.expression(scope, family, depth - 1, tame)})"
        if shape == 2:
            return f"nullif({self.expression(scope, family, depth - 1, tame)}, {self.expression(scope, family, depth - 1, tame)})"
        if shape == 3 and family not in (BOOL,) and not self.sqlite and family != DOUBLE:
            name = self.pick(["greatest", "least"])
            return f"{name}({self.expression(scope, family, depth - 1, tame)}, {self.expression(scope, family, depth - 1, tame)})"
        if shape == 4 and self.depth < 3 and family in (INT, DOUBLE, TEXT):
            return self.scalar_subquery(scope, family, tame)
        return getattr(self, f"{family}_expression")(scope, depth, tame)

    def int_expression(self, scope, depth, tame):
        e = lambda: self.expression(scope, INT, depth - 1, True)
        text = lambda: self.expression(scope, TEXT, depth - 1)
        choices = [
            lambda: f"({e()} + {e()})", lambda: f"({e()} - {e()})", lambda: f"(- {e()})", lambda: f"abs({e()})",
            lambda: f"({self.small(scope)} * {self.small(scope)})", lambda: f"({e()} % nullif({e()}, 0))",
            lambda: f"({e()} / nullif({e()}, 0))", lambda: f"length({text()})",
        ]
        if not self.sqlite:
            choices += [
                lambda: f"sign({e()})", lambda: f"({e()} & {e()})", lambda: f"({e()} | {e()})", lambda: f"xor({e()}, {e()})",
                lambda: f"CAST({self.predicate(scope, depth - 1)} AS INTEGER)",
                lambda: f"extract({self.pick(['year', 'month', 'day', 'quarter', 'doy', 'dow', 'week'])} FROM {self.expression(scope, DATE, depth - 1)})",
                lambda: f"CAST(extract({self.pick(['hour', 'minute'])} FROM {self.expression(scope, TIME, depth - 1)}) AS INTEGER)",
                lambda: f"position({text()} IN {text()})", lambda: f"ascii({text()})",
                lambda: f"CAST(floor({self.expression(scope, DOUBLE, depth - 1, True)}) AS INTEGER)",
                lambda: f"TRY_CAST(replace({text()}, '.', '') AS INTEGER)", lambda: f"bit_count(abs({e()}))", lambda: f"gcd({e()}, {e()})",
                lambda: f"CAST({e()} AS SMALLINT)",
                lambda: f"CAST(len([{e()}, {e()}, NULL]) AS INTEGER)", lambda: f"([{e()}, {e()}, {e()}])[{self.pick(['1', '2', '3', '4', '-1', '0'])}]",
                lambda: f"list_max([{e()}, {e()}, {e()}])", lambda: f"list_min([{e()}, {e()}])",
                lambda: f"list_position([{e()}, {e()}, {e()}], {e()})", lambda: f"({{'k': {e()}, 'v': {text()}}}).k",
                lambda: f"(MAP {{'a': {e()}, 'b': {e()}}})['{self.pick('abc')}']",
                lambda: f"list_sort([{e()}, {e()}, {e()}])[{self.pick(['1', '2'])}]",
                lambda: f"date_diff('{self.pick(['day', 'month', 'year', 'week', 'quarter'])}', {self.expression(scope, DATE, 0)}, {self.expression(scope, DATE, 0)})",
                lambda: f"({self.expression(scope, DATE, 0)} - {self.expression(scope, DATE, 0)})",
                lambda: f"instr({text()}, {self.literal(TEXT)})",
                lambda: f"list_reduce([{e()}, {e()}], lambda x, y: x + y)",
            ]
        return self.pick(choices)()

    def small(self, scope):
        return self.column(scope, INT, True) if self.chance(50) and self.column(scope, INT, True) else self.pick(TAME_INT)

    def double_expression(self, scope, depth, tame):
        e = lambda: self.expression(scope, DOUBLE, depth - 1, True)
        choices = [lambda: f"({e()} + {e()})", lambda: f"({e()} - {e()})", lambda: f"(- {e()})", lambda: f"abs({e()})",
                   lambda: f"CAST({self.expression(scope, INT, depth - 1, True)} AS DOUBLE)"]
        if not tame:
            choices += [lambda: f"({e()} * {e()})", lambda: f"({e()} / nullif({e()}, 0))"]
            if not self.sqlite:
                choices += [
                    lambda: f"sqrt(abs({e()}))", lambda: f"floor({e()})", lambda: f"ceil({e()})", lambda: f"round({e()})",
                    lambda: f"trunc({e()})", lambda: f"power({e()}, 2)", lambda: f"exp(least({e()}, 50))",
                    lambda: f"CAST({self.expression(scope, DECIMAL, depth - 1)} AS DOUBLE)",
                    lambda: f"ln(nullif(abs({e()}), 0))", lambda: f"TRY_CAST({self.expression(scope, TEXT, depth - 1)} AS DOUBLE)",
                ]
        return self.pick(choices)()

    def decimal_expression(self, scope, depth, tame):
        small = lambda: f"CAST({self.expression(scope, INT, depth - 1, True)} AS DECIMAL(12,2))"
        return self.pick([
            lambda: f"({small()} + {small()})", lambda: f"({small()} - {small()})", lambda: f"abs({small()})",
            lambda: f"CAST({self.pick(TAME_INT)} AS DECIMAL(5,1)) * {small()}", lambda: small(),
            lambda: f"CAST({self.expression(scope, DOUBLE, depth - 1, True)} AS DECIMAL(12,2))",
        ])()

    def text_expression(self, scope, depth, tame):
        e = lambda: self.expression(scope, TEXT, depth - 1)
        n = lambda: self.pick(["0", "1", "2", "5"])
        choices = [lambda: f"({e()} || {e()})", lambda: f"lower({e()})", lambda: f"substr({e()}, {self.pick(['1', '2', '3'])}, {n()})",
                   lambda: f"trim({e()})", lambda: f"replace({e()}, 'a', {self.pick(EDGE['VARCHAR'])})"]
        if not self.sqlite:
            choices += [
                lambda: f"left({e()}, {n()})", lambda: f"right({e()}, {n()})", lambda: f"repeat({e()}, {n()})",
                lambda: f"lpad({e()}, {self.pick(['0', '3', '7'])}, 'xy')", lambda: f"concat({e()}, {e()})",
                lambda: f"concat_ws('-', {e()}, {e()})", lambda: f"CAST({self.expression(scope, INT, depth - 1)} AS VARCHAR)",
                lambda: f"split_part({e()}, 'a', {self.pick(['1', '2'])})", lambda: f"CAST({self.expression(scope, DATE, depth - 1)} AS VARCHAR)",
                lambda: f"regexp_replace({e()}, '[a-b]+', '<\\0>')", lambda: f"translate({e()}, 'abc', 'x')",
                lambda: f"CAST({self.expression(scope, BOOL, depth - 1)} AS VARCHAR)", lambda: f"ltrim({e()})",
                lambda: f"array_to_string([{e()}, {self.literal(TEXT)}, {e()}], ',')", lambda: f"array_to_string(string_split({e()}, 'a'), '|')",
                lambda: f"substring({e()}, {self.pick(['1', '2', '3', '40'])})", lambda: f"rpad({e()}, {self.pick(['0', '2', '9'])}, 'z')",
                lambda: f"reverse({e()})", lambda: f"regexp_extract({e()}, '([a-z])([a-z]*)', {self.pick('012')})",
                lambda: f"({{'k': {self.literal(INT)}, 'v': {e()}}}).v", lambda: f"list_sort([{e()}, {e()}])[1]",
                lambda: f"strftime({self.expression(scope, DATE, 0)}, '%Y/%m/%d %j')", lambda: f"CAST({self.expression(scope, TIME, 0)} AS VARCHAR)",
                lambda: f"array_to_string(list_transform([{e()}, {e()}], lambda x: coalesce(x || '!', '-')), ',')", lambda: f"chr({self.pick(['65', '97', '233'])})",
                lambda: f"CAST({self.expression(scope, DECIMAL, depth - 1)} AS VARCHAR)", lambda: f"md5({e()})",
            ]
        return self.pick(choices)()

    def bool_expression(self, scope, depth, tame):
        return f"({self.predicate(scope, depth - 1)})"

    def date_expression(self, scope, depth, tame):
        return self.pick([
            lambda: f"(DATE '2020-02-28' + CAST({self.expression(scope, INT, depth - 1, True)} AS INTEGER))",
            lambda: f"CAST({self.expression(scope, TIME, depth - 1)} AS DATE)",
            lambda: self.literal(DATE), lambda: f"last_day({self.expression(scope, DATE, 0)})",
            lambda: f"TRY_CAST({self.expression(scope, TEXT, depth - 1)} AS DATE)",
        ])()

    def tame_date(self, scope):
        """A date that is far from both ends of the calendar."""
        return f"(DATE '2020-01-31' + CAST({self.expression(scope, INT, 0, True)} AS INTEGER))"

    def time_expression(self, scope, depth, tame):
        return self.pick([
            lambda: f"date_trunc('{self.pick(['day', 'month', 'year', 'hour', 'quarter', 'week'])}', {self.expression(scope, TIME, depth - 1)})",
            lambda: f"CAST({self.expression(scope, DATE, depth - 1)} AS TIMESTAMP)", lambda: self.literal(TIME),
            lambda: f"({self.tame_date(scope)} + INTERVAL '{self.pick(['1 month', '-13 months', '1 day', '90 minutes', '2 weeks', '1 year'])}')",
            lambda: f"time_bucket(INTERVAL '{self.pick(['1 week', '1 month', '3 hours', '10 days'])}', CAST({self.tame_date(scope)} AS TIMESTAMP))",
            lambda: f"(TIMESTAMP '2021-01-31 10:00:00' + INTERVAL '{self.pick(['1 month', '-1 month', '36 hours', '1 year', '10 seconds'])}')",
        ])()

    def predicate(self, scope, depth):
        """A condition, with three values."""
        if depth <= 0 or self.chance(25):
            column = self.pick(scope) if scope else None
            if column is None:
                return self.pick(["1 = 1", "1 = 0"])
            if self.chance(30):
                return f"{column.name} IS {self.pick(['', 'NOT ', 'NOT ', 'NOT '])}NULL"
            return f"{column.name} {self.pick(['=', '<>', '<>', '<', '>', '<=', '>='])} {self.expression(scope, column.family, 0)}"
        family = self.pick(self.families())
        e = lambda f=family: self.expression(scope, f, depth - 1)
        p = lambda: self.predicate(scope, depth - 1)
        choices = [
            lambda: f"({p()} AND {p()})", lambda: f"({p()} OR {p()})", lambda: f"(NOT {p()})",
            lambda: f"{e()} {self.pick(['=', '<>', '<', '>', '<=', '>='])} {e()}",
            lambda: f"{e()} {self.pick(['', 'NOT '])}BETWEEN {e()} AND {e()}",
            lambda: f"{e()} {self.pick(['', 'NOT '])}IN ({', '.join(self.literal(family) for _ in range(3))}{', NULL' if self.chance(20) else ''})",
            lambda: f"{e()} IS {self.pick(['', 'NOT '])}NULL",
            lambda: f"{e()} IS {self.pick(['', 'NOT '])}DISTINCT FROM {e()}",
        ]
        if self.depth < 2:
            choices += [lambda: self.exists(scope), lambda: self.exists(scope), lambda: self.membership(scope, family)]
            if not self.sqlite:
                choices += [lambda: self.quantified(scope, family)]
        if not self.sqlite:
            choices += [
                lambda: f"{e(TEXT)} {self.pick(['LIKE', 'NOT LIKE', 'ILIKE'])} {self.pattern()}",
                lambda: f"starts_with({e(TEXT)}, {self.literal(TEXT)})", lambda: f"contains({e(TEXT)}, {self.literal(TEXT)})",
                lambda: f"({p()}) IS {self.pick(['', 'NOT '])}TRUE", lambda: f"regexp_matches({e(TEXT)}, '^a+b?')",
            ]
        return self.pick(choices)()

    def pattern(self):
        return self.pick(["'a%'", "'%b'", "'_'", "'%a%'", "''", "'%'", "'a_c'", "'%a%b%'"])

    # Subqueries.

    def inner(self, outer):
        """A FROM clause of a subquery, and the scopes within it without and with the outer columns."""
        self.depth += 1
        source, scope = self.relation(1 if self.chance(70) else 2)
        self.depth -= 1
        return source, scope, (scope + outer if self.chance(70) else scope)

    def scalar_subquery(self, outer, family, tame):
        source, scope, both = self.inner(outer)
        self.depth += 1
        where = f" WHERE {self.predicate(both, 1)}" if self.chance(60) else ""
        self.depth -= 1
        column = self.column(scope, family, tame)
        if family == INT and (column is None or self.chance(40)):
            return f"(SELECT count(*) FROM {source}{where})"
        if column is None:
            return self.literal(family)
        return f"(SELECT {self.pick(['min', 'max'])}({column}) FROM {source}{where})"

    def exists(self, outer):
        source, scope, both = self.inner(outer)
        self.depth += 1
        where = f" WHERE {self.predicate(both, 2)}" if self.chance(85) else ""
        self.depth -= 1
        return f"{self.pick(['', 'NOT '])}EXISTS (SELECT 1 FROM {source}{where})"

    def membership(self, outer, family):
        source, scope, both = self.inner(outer)
        self.depth += 1
        where = f" WHERE {self.predicate(both, 1)}" if self.chance(50) else ""
        value = self.expression(scope, family, 1)
        left = self.expression(outer, family, 1)
        self.depth -= 1
        return f"{left} {self.pick(['', 'NOT '])}IN (SELECT {value} FROM {source}{where})"

    def quantified(self, outer, family):
        source, scope, both = self.inner(outer)
        self.depth += 1
        where = f" WHERE {self.predicate(both, 1)}" if self.chance(50) else ""
        value = self.expression(scope, family, 0)
        left = self.expression(outer, family, 0)
        self.depth -= 1
        return f"{left} {self.pick(['=', '<>', '<', '>='])} {self.pick(['ANY', 'ALL'])} (SELECT {value} FROM {source}{where})"

    # FROM.

    def source(self):
        """One relation, and its columns."""
        kinds = ["table"] * 8
        if self.depth < 2:
            kinds += ["query"]
        if self.ctes and self.depth < 2:
            kinds += ["cte"] * 3
        if not self.sqlite:
            kinds += ["values", "range", "recursive", "unnest"]
            if self.depth < 2:
                kinds += ["distinct on", "pivot", "unpivot"]
        kind = self.pick(kinds)
        alias = self.alias()
        if kind == "query":
            sql, columns = self.select(simple=True)
            return f"({sql}) {alias}", [Column(f"{alias}.{c.name}", c.family, c.tame) for c in columns]
        if kind == "cte":
            name = self.pick(sorted(self.ctes))
            return f"{name} {alias}", [Column(f"{alias}.{c.name}", c.family, c.tame) for c in self.ctes[name]]
        if kind == "values":
            rows = ", ".join(f"({self.pick(TAME_INT)}, {self.literal(TEXT)})" for _ in range(self.random.randint(1, 4)))
            return f"(VALUES {rows}, (NULL, NULL)) {alias}(a, c)", [Column(f"{alias}.a", INT, True), Column(f"{alias}.c", TEXT, False)]
        if kind == "recursive":
            step, end = self.random.randint(1, 3), self.random.randint(0, 9)
            sql = (f"(WITH RECURSIVE r(a, c) AS (SELECT 0, '' UNION ALL SELECT a + {step}, c || 'a' FROM r WHERE a < {end}) "
                   f"SELECT * FROM r) {alias}")
            return sql, [Column(f"{alias}.a", INT, True), Column(f"{alias}.c", TEXT, False)]
        if kind == "unnest":
            items = ", ".join(self.pick([*TAME_INT, "NULL"]) for _ in range(self.random.randint(1, 5)))
            return f"(SELECT unnest([{items}]) AS a) {alias}", [Column(f"{alias}.a", INT, True)]
        if kind in ("distinct on", "pivot", "unpivot"):
            return getattr(self, kind.replace(" ", "_"))(alias)
        if kind == "range":
            return f"range({self.random.randint(0, 6)}) {alias}(a)", [Column(f"{alias}.a", INT, True)]
        name = self.pick(sorted(self.tables))
        return f"{name} {alias}", [Column(f"{alias}.{c.name}", c.family, c.tame) for c in self.tables[name]]

    def distinct_on(self, alias):
        name = self.pick(sorted(self.tables))
        columns = self.tables[name]
        total = self.random.sample(columns, len(columns))
        # As in PostgreSQL, what is distinct comes first.
        order = ", ".join(f"{c.name}{self.pick(['', ' DESC'])} NULLS {self.pick(['FIRST', 'LAST'])}" for c in total)
        sql = f"(SELECT DISTINCT ON ({total[0].name}) * FROM {name} ORDER BY {order}) {alias}"
        return sql, [Column(f"{alias}.{c.name}", c.family, c.tame) for c in columns]

    def pivot(self, alias):
        name = self.pick(sorted(self.tables))
        call = self.pick(["count(*)", "sum(b)", "max(b)", "count(b)"])
        sql = f"(SELECT * FROM (SELECT a, b, c FROM {name}) PIVOT ({call} FOR a IN (0 AS p, 1 AS q, 5 AS r))) {alias}"
        family = DOUBLE if call in ("sum(b)", "max(b)") else INT
        return sql, [Column(f"{alias}.c", TEXT, False)] + [Column(f"{alias}.{n}", family, False) for n in "pqr"]

    def unpivot(self, alias):
        name = self.pick(sorted(self.tables))
        nulls = self.pick(["", " INCLUDE NULLS"])
        sql = f"(SELECT * FROM (SELECT a, b, a + 1 AS d FROM {name}) UNPIVOT{nulls} (v FOR n IN (a, d))) {alias}"
        return sql, [Column(f"{alias}.b", DOUBLE, True), Column(f"{alias}.n", TEXT, False), Column(f"{alias}.v", INT, True)]

    def asof(self, left, scope, right, columns):
        """A join with the nearest row: of the right side only what is equal among rows of equal keys."""
        pairs = [(a, b) for a in scope for b in columns if a.tame and b.tame and a.family == b.family]
        if not pairs:
            return None
        a, b = self.pick(pairs)
        kind = self.pick(["ASOF JOIN", "ASOF LEFT JOIN"])
        order = self.pick([">=", ">", "<=", "<"])
        return f"{left} {kind} {right} ON {a.name} {order} {b.name}", scope + [b]

    def relation(self, most):
        """A FROM clause of up to `most` relations, and its columns."""
        sql, scope = self.source()
        for _ in range(self.random.randint(1, most) - 1):
            right, columns = self.source()
            shape = self.random.randrange(12)
            if shape == 0:
                sql, scope = f"{sql} CROSS JOIN {right}", scope + columns
            elif shape == 1 and not self.sqlite:
                kind = self.pick(["SEMI", "ANTI"])
                sql = f"{sql} {kind} JOIN {right} ON {self.condition(scope, columns)}"
            elif shape == 2 and not self.sqlite and self.depth < 2:
                lateral, inner = self.lateral(scope)
                kind = self.pick(["CROSS JOIN", "LEFT JOIN"])
                sql = f"{sql} {kind} LATERAL {lateral}" + (" ON true" if kind == "LEFT JOIN" else "")
                scope = scope + inner
            elif shape == 3 and not self.sqlite and self.asof(sql, scope, right, columns):
                sql, scope = self.asof(sql, scope, right, columns)
            else:
                kind = self.pick(["INNER", "INNER", "LEFT", "LEFT", "RIGHT", "FULL"])
                sql, scope = f"{sql} {kind} JOIN {right} ON {self.condition(scope, columns, kind)}", scope + columns
        return sql, scope

    def lateral(self, outer):
        alias = self.alias("l")
        name = self.pick(sorted(self.tables))
        inner = self.alias()
        columns = [Column(f"{inner}.{c.name}", c.family, c.tame) for c in self.tables[name]]
        key = self.pick([c for c in columns if c.tame])
        match = self.column(outer, key.family, False) or self.literal(key.family)
        sql = f"(SELECT count(*) AS n, max({inner}.c) AS m FROM {name} {inner} WHERE {key.name} = {match}) {alias}"
        return sql, [Column(f"{alias}.n", INT, True), Column(f"{alias}.m", TEXT, False)]

    def condition(self, left, right, kind="INNER"):
        """A join condition: mostly with an equality; FULL joins of engines want one."""
        family = self.pick([c.family for c in right])
        pairs = [(a, b) for a in left for b in right if a.family == b.family]
        parts = []
        # Keys that meet: small numbers rather than extremes.
        meeting = [(a, b) for a, b in pairs if a.tame and b.tame]
        if pairs and (self.chance(85) or kind in ("FULL", "RIGHT")):
            a, b = self.pick(meeting if meeting and self.chance(70) else pairs)
            parts.append(f"{a.name} = {b.name}")
            if self.chance(20):
                a, b = self.pick(pairs)
                parts.append(f"{a.name} {self.pick(['IS NOT DISTINCT FROM', '<', '<=', '<>'])} {b.name}")
        elif kind in ("FULL", "RIGHT"):
            return "1 = 0" if kind == "FULL" else "1 = 1"
        self.depth += 2
        if not parts or self.chance(15):
            parts.append(self.predicate(left + right, 1))
        self.depth -= 2
        return " AND ".join(parts)

    # SELECT.

    def aggregate(self, scope):
        """An aggregate over a scope, its family, and whether its value stays small."""
        filtered = f" FILTER (WHERE {self.predicate(scope, 1)})" if self.chance(15) else ""
        distinct = "DISTINCT " if self.chance(15) else ""
        integer = lambda: self.expression(scope, INT, 1, True)
        double = lambda: self.expression(scope, DOUBLE, 1, True)
        family = self.pick([c.family for c in scope])
        any_value = lambda: self.expression(scope, family, 1)
        wide = self.column(scope, INT, False)
        choices = [
            (lambda: "count(*)", INT, True), (lambda: f"count({distinct}{any_value()})", INT, True),
            (lambda: f"sum({distinct}{integer()})", INT, False), (lambda: f"sum({distinct}{double()})", DOUBLE, False),
            (lambda: f"min({any_value()})", family, False), (lambda: f"max({any_value()})", family, False),
            (lambda: f"avg({distinct}{integer()})", DOUBLE, False),
        ]
        if family == BOOL:
            choices = choices[:4]
        if not self.sqlite:
            choices += [
                (lambda: f"bool_and({self.predicate(scope, 1)})", BOOL, False), (lambda: f"bool_or({self.predicate(scope, 1)})", BOOL, False),
                (lambda: f"bit_and({integer()})", INT, False), (lambda: f"bit_or({distinct}{integer()})", INT, False),
                (lambda: f"median({integer()})", DOUBLE, False), (lambda: f"quantile_disc({integer()}, 0.3)", INT, False),
                (lambda: f"quantile_cont({double()}, 0.75)", DOUBLE, False), (lambda: f"var_pop({integer()})", DOUBLE, False),
                (lambda: f"stddev_samp({integer()})", DOUBLE, False), (lambda: f"count_if({self.predicate(scope, 1)})", INT, False),
                (lambda: f"mad({integer()})", DOUBLE, False),
                (lambda: f"product({self.small(scope)})", DOUBLE, False),
                (lambda: f"regr_count({integer()}, {double()})", INT, False), (lambda: f"bit_xor({distinct}{integer()})", INT, False),
            ]
            if wide:
                choices += [(lambda: f"CAST(sum(CAST({wide} AS DECIMAL(38,0))) AS VARCHAR)", TEXT, False)]
            text = self.column(scope, TEXT, False)
            if text and self.chance(20):
                if self.chance(40):
                    text = f"lower({text})"
                return f"string_agg({text}, ',' ORDER BY {text})", TEXT, False
        build, family, tame = self.pick(choices)
        sql = build()
        if self.sqlite and "DISTINCT" in sql and filtered:
            filtered = ""
        return sql + filtered, family, tame

    def window(self, scope):
        """A window function over a scope."""
        keys = self.keys(scope)
        total = ", ".join([f"{c.name} NULLS LAST" for c in self.random.sample(scope, len(scope))])
        partition = f"PARTITION BY {self.pick(scope).name} " if self.chance(60) else ""
        family = self.pick([c.family for c in scope])
        value = self.column(scope, family, False)
        shape = self.random.randrange(8)
        if shape == 0:
            name = self.pick(["rank()", "dense_rank()", "percent_rank()", "cume_dist()"])
            return f"{name} OVER ({partition}ORDER BY {keys})", DOUBLE if "_" in name and name[0] in "pc" else INT
        if shape == 1:
            name = self.pick(["row_number()", f"ntile({self.random.randint(1, 5)})"])
            return f"{name} OVER ({partition}ORDER BY {total})", INT
        if shape == 2:
            name = self.pick(["lag", "lead"])
            offset = self.pick(["", ", 2", ", 0", f", 1, {value}"])
            return f"{name}({value}{offset}) OVER ({partition}ORDER BY {total})", family
        self.depth += 3
        rows = f"ROWS BETWEEN {self.bounds()}"
        if shape in (3, 4):
            name = self.pick(["first_value", "last_value", "nth_value"])
            arguments = f"{value}, {self.random.randint(1, 3)}" if name == "nth_value" else value
            out = f"{name}({arguments}) OVER ({partition}ORDER BY {total} {rows})", family
        else:
            sql, family, _ = self.aggregate(scope)
            while "DISTINCT" in sql or "ORDER BY" in sql or sql.startswith("mad") or self.sqlite and "FILTER" in sql:
                sql, family, _ = self.aggregate(scope)
            order = self.pick([f"ORDER BY {total} {rows}", f"ORDER BY {keys} GROUPS BETWEEN {self.bounds()}", f"ORDER BY {keys}", "", self.range_frame(scope)])
            out = f"{sql} OVER ({partition}{order})", family
        self.depth -= 3
        return out

    def bounds(self):
        before = ["UNBOUNDED PRECEDING", "2 PRECEDING", "1 PRECEDING", "0 PRECEDING", "CURRENT ROW"]
        after = ["CURRENT ROW", "1 FOLLOWING", "3 FOLLOWING", "UNBOUNDED FOLLOWING"]
        if self.chance(10):
            return self.pick(["3 PRECEDING AND 1 PRECEDING", "1 FOLLOWING AND 2 FOLLOWING", "2 FOLLOWING AND UNBOUNDED FOLLOWING"])
        return f"{self.pick(before)} AND {self.pick(after)}"

    def range_frame(self, scope):
        key = self.column(scope, INT, True)
        if key is None:
            return ""
        direction = self.pick(["", " DESC"])
        return f"ORDER BY {key}{direction} NULLS LAST RANGE BETWEEN {self.bounds()}"

    def keys(self, scope):
        columns = self.random.sample(scope, min(len(scope), self.random.randint(1, 2)))
        return ", ".join(f"{c.name}{self.pick(['', ' DESC'])} NULLS {self.pick(['FIRST', 'LAST'])}" for c in columns)

    def select(self, simple=False):
        """A query without ORDER BY, and its columns."""
        self.depth += 1
        source, scope = self.relation(2 if simple else 3)
        where = f" WHERE {self.predicate(scope, 2)}" if self.chance(35) else ""
        shape = self.random.randrange(10)
        if shape < 4:
            items = self.items(scope)
            distinct = "DISTINCT " if self.chance(20) else ""
            sql = f"SELECT {distinct}{self.written(items)} FROM {source}{where}"
        elif shape < 6 and len(scope) > 1:
            items = self.items(scope, 1)
            for _ in range(self.random.randint(1, 2)):
                text, family = self.window(scope)
                items.append((text, family, False))
            sql = f"SELECT {self.written(items)} FROM {source}{where}"
            if not self.sqlite and self.chance(20):
                total = ", ".join(f"{c.name} NULLS LAST" for c in scope)
                sql += f" QUALIFY rank() OVER (PARTITION BY {self.pick(scope).name} ORDER BY {total}) <= 2"
        else:
            sql, items = self.grouped(scope, source, where)
        self.depth -= 1
        return sql, [Column(f"x{at}", family, tame) for at, (_, family, tame) in enumerate(items)]

    def items(self, scope, most=4):
        found = []
        for _ in range(self.random.randint(1, most)):
            family = self.pick(self.families())
            tame = family in (INT, DOUBLE) and self.chance(60)
            # What comes of several steps is no longer small.
            depth = 2 if not tame else 0
            found.append((self.expression(scope, family, depth, tame), family, tame))
        return found

    def written(self, items):
        return ", ".join(f"{text} AS x{at}" for at, (text, _, _) in enumerate(items))

    def grouped(self, scope, source, where):
        aggregates = [self.aggregate(scope) for _ in range(self.random.randint(1, 3))]
        keys = []
        for _ in range(self.random.randint(0, 3)):
            column = self.pick(scope)
            if self.chance(70):
                keys.append((column.name, column.family, column.tame))
            else:
                family = self.pick(self.families())
                keys.append((self.expression(scope, family, 1), family, False))
        # A constant key would be a position.
        keys = [key for key in keys if "." in key[0] and "SELECT" not in key[0]]
        keys = list({key[0]: key for key in keys}.values())
        names = [key[0] for key in keys]
        group = ""
        if names:
            group = " GROUP BY " + ", ".join(names)
            if not self.sqlite and self.chance(25):
                sets = self.pick([f"ROLLUP ({', '.join(names)})", f"CUBE ({', '.join(names)})",
                                  f"GROUPING SETS (({', '.join(names)}), ({names[0]}), ())"])
                group = f" GROUP BY {sets}"
                aggregates.append((f"grouping({names[0]})", INT, True))
        having = ""
        if names and self.chance(20):
            having = f" HAVING count(*) {self.pick(['>', '<=', '<>'])} {self.random.randint(1, 3)}"
        items = keys + aggregates
        return f"SELECT {self.written(items)} FROM {source}{where}{group}{having}", items

    def query(self):
        """A whole query, and how its rows are ordered: the number of columns that ORDER BY follows, 0 for none."""
        self.ctes, self.depth, self.aliases = {}, 0, 0
        prefix = ""
        if self.chance(15):
            name = "w"
            sql, columns = self.select(simple=True)
            prefix = f"WITH {name} AS ({sql}) "
            self.ctes[name] = columns
        sql, columns = self.select()
        if self.chance(12):
            sql, columns = self.set_operation(sql, columns)
        ordered = False
        if self.chance(35):
            ordered = True
            keys = [f"{at + 1}{self.pick(['', ' DESC'])} NULLS {self.pick(['FIRST', 'LAST'])}" for at in range(len(columns))]
            self.random.shuffle(keys)
            sql = f"SELECT * FROM ({sql}) z ORDER BY {', '.join(keys)}"
            if self.chance(40):
                sql += f" LIMIT {self.random.randint(0, 8)}"
                if self.chance(40):
                    sql += f" OFFSET {self.random.randint(0, 5)}"
        return prefix + sql, ordered

    def set_operation(self, left, columns):
        wanted = [c.family for c in columns]
        source, scope = self.relation(2)
        items = ", ".join(f"{self.expression(scope, family, 1)} AS x{at}" for at, family in enumerate(wanted))
        operators = ["UNION", "UNION ALL", "INTERSECT", "EXCEPT"]
        if not self.sqlite:
            operators += ["INTERSECT ALL", "EXCEPT ALL"]
        sql = f"SELECT * FROM ({left}) y1 {self.pick(operators)} SELECT {items} FROM {source}"
        return sql, [Column(c.name, c.family, False) for c in columns]
