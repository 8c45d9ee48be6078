"""What is drawn of the table."""

from harness.bench import OPS
from harness.charts import bars

GETS = ["MapGet, hot", "MapGet, random", "Go: Get of a typed view, hot", "Go: a map of JSON behind a mutex, hot", "SQLite: a get", "Redis: a get"]
STARTS = ["cold start", "cold start: CPU", "a bare GET of the rollup"]
TICKS = [f"tick with {OPS:,} new ops", "quiet tick, directory"]


def all_of(bench):
    """File name -> title and SVG."""
    table, sizes = bench.table, ("", f", {bench.more:,} entries")
    charts = [
        ("gets", "The time of a get, on a scale by powers of ten", picked(table, GETS), {"unit": " ns", "is_log": True}),
        (
            "starts",
            f"The cold start of {bench.entries:,} entries",
            picked(table, [f"{what}, {store}" for store in ("S3", "directory") for what in STARTS]),
            {"unit": " s"},
        ),
        (
            "ticks",
            f"The CPU time of a tick on {bench.entries:,} and on {bench.more:,} entries",
            picked(table, [f"{what}{size}: CPU" for what in TICKS for size in sizes]),
            {"unit": " ms"},
        ),
        (
            "bars",
            "What is measured, by its bar (what must be at least its bar: the bar by it), on a scale by powers of ten",
            judged(table),
            {"is_log": True, "line": 1},
        ),
    ]
    return {f"{name}.svg": (title, bars(title, rows, **options)) for name, title, rows, options in charts}


def judged(table):
    return [(row.name, row.bar / row.value if row.is_least else row.value / row.bar, row.is_over()) for row in table.rows if row.bar]


def picked(table, names):
    """Rows by name. There may be no Redis."""
    rows = {row.name: row for row in table.rows}
    return [(name, rows[name].value, False) for name in names if name in rows or not name.startswith("Redis")]
