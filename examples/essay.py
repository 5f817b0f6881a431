"""Single fields and fused expressions over NumPy arrays, computed by pure Python, NumPy, numexpr, numba, JAX and StoaDB.

    python examples/essay.py [--rows 50000000] [--runs 5]

StoaDB reads the arrays where they lie. Each engine that is installed takes part; all answers are checked against NumPy's. The
time of an engine is the least of several runs after one that is not counted (compilation); pure Python runs once, on a part of
the rows, and its time is scaled up.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np

import stoadb

PURE_ROWS = 1_000_000

# What is computed: its name, in SQL, in NumPy, in numexpr (elementwise part and reduction), and by a row in Python.
TASKS: list[tuple[str, str, Callable, tuple[str, str], Callable]] = [
    ("sum(x)", "sum(x)", lambda x, y: x.sum(), ("sum", "x"), lambda x, y: x),
    ("mean(x)", "avg(x)", lambda x, y: x.mean(), ("mean", "x"), lambda x, y: x),
    ("max(x)", "max(x)", lambda x, y: x.max(), ("max", "x"), lambda x, y: x),
    ("std(x)", "stddev_pop(x)", lambda x, y: x.std(), ("std", "x"), lambda x, y: x),
    ("sum(x * y)", "sum(x * y)", lambda x, y: (x * y).sum(), ("sum", "x * y"), lambda x, y: x * y),
    (
        "sum((x - y)**2)",
        "sum((x - y) * (x - y))",
        lambda x, y: ((x - y) ** 2).sum(),
        ("sum", "(x - y) * (x - y)"),
        lambda x, y: (x - y) * (x - y),
    ),
    (
        "sum(x where y > 0.5)",
        "sum(x) FILTER (WHERE y > 0.5)",
        lambda x, y: x[y > 0.5].sum(),
        ("sum", "where(y > 0.5, x, 0)"),
        lambda x, y: x if y > 0.5 else 0.0,
    ),
    (
        "sum(sqrt(x) + y / (1 + x))",
        "sum(sqrt(x) + y / (1 + x))",
        lambda x, y: (np.sqrt(x) + y / (1 + x)).sum(),
        ("sum", "sqrt(x) + y / (1 + x)"),
        lambda x, y: math.sqrt(x) + y / (1 + x),
    ),
]


def pure(kind: str, row: Callable, x: list[float], y: list[float]) -> float:
    values = map(row, x, y)
    if kind == "max":
        return max(values)
    if kind == "std":
        values = list(values)
        mean = sum(values) / len(values)
        return math.sqrt(sum((value - mean) ** 2 for value in values) / len(values))
    total = sum(values)
    return total / len(x) if kind == "mean" else total


def with_numexpr(kind: str, text: str, x: np.ndarray, y: np.ndarray) -> Callable[[], float] | None:
    try:
        import numexpr
    except ImportError:
        return None
    names = {"x": x, "y": y}
    if kind in ("sum", "max"):
        return lambda: float(numexpr.evaluate(f"{kind}({text})", names))
    if kind == "mean":
        return lambda: float(numexpr.evaluate(f"sum({text})", names)) / len(x)

    def deviation() -> float:
        mean = float(numexpr.evaluate(f"sum({text})", names)) / len(x)
        return math.sqrt(float(numexpr.evaluate(f"sum(({text} - m)**2)", {**names, "m": mean})) / len(x))

    return deviation


def with_numba(kind: str, row: Callable, x: np.ndarray, y: np.ndarray) -> Callable[[], float] | None:
    try:
        import numba
    except ImportError:
        return None
    value = numba.njit(row, fastmath=True)

    @numba.njit(parallel=True, fastmath=True)
    def total(x: np.ndarray, y: np.ndarray) -> float:
        found = 0.0
        for i in numba.prange(len(x)):
            found += value(x[i], y[i])
        return found

    @numba.njit(parallel=True)
    def greatest(x: np.ndarray, y: np.ndarray) -> float:
        found = -np.inf
        for i in numba.prange(len(x)):
            found = max(found, value(x[i], y[i]))
        return found

    @numba.njit(parallel=True, fastmath=True)
    def squares(x: np.ndarray, y: np.ndarray, mean: float) -> float:
        found = 0.0
        for i in numba.prange(len(x)):
            found += (value(x[i], y[i]) - mean) ** 2
        return found

    if kind == "sum":
        return lambda: total(x, y)
    if kind == "max":
        return lambda: greatest(x, y)
    if kind == "mean":
        return lambda: total(x, y) / len(x)
    return lambda: math.sqrt(squares(x, y, total(x, y) / len(x)) / len(x))


def with_jax(kind: str, row: Callable, x: np.ndarray, y: np.ndarray) -> Callable[[], float] | None:
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        return None
    jax.config.update("jax_enable_x64", True)
    by_rows = {"x if y": lambda x, y: jnp.where(y > 0.5, x, 0.0), "sqrt": lambda x, y: jnp.sqrt(x) + y / (1 + x)}
    # What a row is made of in Python holds for JAX's arrays, but for choices and the functions of `math`.
    value = by_rows.get(JAX_ROWS.get(row, ""), row)
    reduce = getattr(jnp, kind)
    compiled = jax.jit(lambda x, y: reduce(value(x, y)))
    a, b = jnp.asarray(x), jnp.asarray(y)
    return lambda: float(compiled(a, b))


JAX_ROWS = {TASKS[6][4]: "x if y", TASKS[7][4]: "sqrt"}


def least(run: Callable[[], float], runs: int) -> tuple[float, float]:
    """The least seconds of several runs, and the answer."""
    answer = run()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        answer = run()
        times.append(time.perf_counter() - start)
    return min(times), answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args()
    rng = np.random.default_rng(7)
    x, y = rng.random(given.rows), rng.random(given.rows)
    con = stoadb.connect()
    con.register("t", {"x": x, "y": y})
    part = min(PURE_ROWS, given.rows)
    lists = x[:part].tolist(), y[:part].tolist()
    engines = ["python", "numpy", "numexpr", "numba", "jax", "stoadb"]
    print(f"{given.rows:,} rows, milliseconds; the last columns are StoaDB's time by the best of the others' and Python's by it")
    print(f"{'':28}" + "".join(f"{name:>10}" for name in engines) + f"{'/ best':>9}{'python /':>10}")
    for name, sql, task, (kind, text), row in TASKS:
        runs: dict[str, Callable[[], float] | None] = {
            "numpy": lambda: float(task(x, y)),
            "numexpr": with_numexpr(kind, text, x, y),
            "numba": with_numba(kind, row, x, y),
            "jax": with_jax(kind, row, x, y),
            "stoadb": lambda: con.execute(f"SELECT {sql} FROM t").fetchone()[0],
        }
        start = time.perf_counter()
        pure(kind, row, *lists)
        times = {"python": (time.perf_counter() - start) * given.rows / part}
        wanted = float(task(x, y))
        for engine, run in runs.items():
            if run is not None:
                times[engine], answer = least(run, given.runs)
                assert math.isclose(answer, wanted, rel_tol=1e-6), (name, engine, answer, wanted)
        others = [seconds for engine, seconds in times.items() if engine not in ("python", "stoadb")]
        shown = [f"{times[e] * 1e3:>10.1f}" if e in times else f"{'-':>10}" for e in engines]
        ratio, lead = times["stoadb"] / min(others), times["python"] / times["stoadb"]
        print(f"{name:28}" + "".join(shown) + f"{ratio:>9.2f}{lead:>10.0f}")


if __name__ == "__main__":
    main()
