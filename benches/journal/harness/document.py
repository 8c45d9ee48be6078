"""docs/performance.md, where the figures are recorded."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DOCUMENT = os.path.join(ROOT, "docs", "performance.md")
TABLE_BEGINS = "<!-- The table of `make bench-record`: begin -->\n"
TABLE_ENDS = "<!-- end -->\n"


def record(text):
    """Puts the table into the document."""
    with open(DOCUMENT) as file:
        before, rest = file.read().split(TABLE_BEGINS)
        after = rest.split(TABLE_ENDS)[1]
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{TABLE_BEGINS}{text}{TABLE_ENDS}{after}")
