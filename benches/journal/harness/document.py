"""docs/performance.md, where the figures are recorded."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
DOCUMENT = os.path.join(ROOT, "docs", "performance.md")
CHARTS = os.path.join(ROOT, "docs", "charts")
FIGURES_BEGIN = "<!-- The figures of `make bench-record`: begin -->\n"
FIGURES_END = "<!-- end -->\n"


def record(where, table, charts):
    """Puts the figures into the document, with the machine and the date, and the charts beside it."""
    os.makedirs(CHARTS, exist_ok=True)
    for name, (_, svg) in charts.items():
        with open(os.path.join(CHARTS, name), "w") as file:
            file.write(svg)
    shown = "\n".join(f"![{title}](charts/{name})\n" for name, (title, _) in charts.items())
    with open(DOCUMENT) as file:
        before, rest = file.read().split(FIGURES_BEGIN)
        after = rest.split(FIGURES_END)[1]
    with open(DOCUMENT, "w") as file:
        file.write(f"{before}{FIGURES_BEGIN}{where}\n\n{table}\n{shown}{FIGURES_END}{after}")
