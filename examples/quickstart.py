"""A year of New York flights from Python: `pip install ./python`, then run this from the root of the repository."""

from pathlib import Path

import stoadb

FLIGHTS = Path(__file__).parent / "data" / "flights.parquet"
AIRLINES = Path(__file__).parent / "data" / "airlines.parquet"

con = stoadb.connect()

# A query over a file in place: built step by step, run when it is shown.
flights = con.sql(f"SELECT * FROM '{FLIGHTS}'")
print("The average delay at each airport:")
flights.aggregate("count(*) AS flights, avg(dep_delay) AS delay", by="origin").order("delay DESC").show()

# A table in memory, and parameters.
con.execute(f"CREATE TABLE flights AS SELECT * FROM '{FLIGHTS}'")
con.execute(f"CREATE TABLE airlines AS SELECT * FROM '{AIRLINES}'")
late = con.execute(
    "SELECT a.name, avg(f.dep_delay) FROM flights f JOIN airlines a ON f.carrier = a.carrier "
    "WHERE f.month = $month GROUP BY a.name ORDER BY 2 DESC LIMIT 1",
    {"month": 7},
)
name, delay = late.fetchone()
print(f"In July {name} was late most: {delay:.1f} minutes on average.\n")

# What a query cost: only the columns that it names are touched.
cursor = con.execute("SELECT avg(air_time) FROM flights")
print(f"The average flight took {cursor.fetchone()[0]:.1f} minutes; {cursor.bytes_touched:,} bytes were touched.\n")

# Data of Python's, where they lie. A list is copied, a NumPy array, an Arrow table or a data frame is not.
weights = {"origin": ["EWR", "JFK", "LGA"], "weight": [1.0, 2.0, 0.5]}
con.sql(
    "SELECT f.origin, sum(f.distance * w.weight) AS weighted FROM flights f JOIN weights w ON f.origin = w.origin "
    "GROUP BY f.origin ORDER BY f.origin"
).show()

# Statistics of a single field.
print(stoadb.stats([3, 1, 4, 1, 5, 9, 2, 6]))

# A function of one's own.
con.create_function("hours", lambda minutes: minutes / 60, [float], float)
con.sql("SELECT dest, hours(max(air_time)) AS longest FROM flights GROUP BY dest ORDER BY longest DESC LIMIT 3").show()
