"""docs/performance.md, where the figures are recorded."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DOCUMENT = os.path.join(ROOT, "docs", "performance.md")
FIGURES_BEGIN = "<!-- The figures of `make bench-record`: begin -->\n"
FIGURES_END = "<!-- end -->\n"


def record(figures):
    """Puts the figures into the document, with the machine and the date."""
    with open(DOCUMENT) as file:
        before, rest = file.read().split(FIGURES_BEGIN)
        after = rest.split(FIGURES_END)[1]
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{FIGURES_BEGIN}{figures}{FIGURES_END}{after}")
