"""Bar charts as SVG text. The same figures give the same bytes, and a figure that changes changes its own lines."""

import math
from xml.sax.saxutils import escape

from harness.table import number

WIDTH, LABELS, BARS, HEAD, STEP = 900, 430, 360, 46, 20

# Viewers that know of dark pages get a dark ground; all others a light one, whatever the page's is.
STYLE = """<style>
text { font: 12px sans-serif; fill: #1f2328; }
.title { font-weight: bold; }
.ground { fill: #ffffff; }
.bar { fill: #4a82bd; }
.over { fill: #c8553d; }
.grid { stroke: #d0d7de; }
.line { stroke: #1f2328; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .ground { fill: #161b22; }
  .grid { stroke: #3d444d; }
  .line { stroke: #e6edf3; }
}
</style>"""


def bars(title, rows, unit="", is_log=False, line=None):
    """Rows are (label, value, is_over); `line` is a value that is marked across all of them."""
    values = [value for _, value, _ in rows] + ([line] if line else [])
    grid = powers(values) if is_log else steps(max(values))
    low, high = grid[0], grid[-1]

    def place(value):
        share = (math.log(value / low) / math.log(high / low)) if is_log else value / high
        return f"{LABELS + share * BARS:.1f}"

    bottom = HEAD + len(rows) * STEP
    svg = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 28}" width="{WIDTH}" height="{bottom + 28}" role="img">',
        f"<title>{escape(title)}</title>",
        STYLE,
        f'<rect class="ground" width="{WIDTH}" height="{bottom + 28}" rx="6"/>',
        f'<text class="title" x="16" y="26">{escape(title)}</text>',
    ]
    for value in grid:
        svg.append(f'<line class="grid" x1="{place(value)}" y1="{HEAD - 6}" x2="{place(value)}" y2="{bottom}"/>')
        svg.append(f'<text x="{place(value)}" y="{bottom + 16}" text-anchor="middle">{number(value)}{escape(unit)}</text>')
    if line:
        svg.append(f'<line class="line" x1="{place(line)}" y1="{HEAD - 6}" x2="{place(line)}" y2="{bottom}"/>')
    for index, (label, value, is_over) in enumerate(rows):
        top, end = HEAD + index * STEP, place(value)
        svg.append(f'<text x="{LABELS - 8}" y="{top + 12}" text-anchor="end">{escape(label)}</text>')
        svg.append(f'<rect class="{"over" if is_over else "bar"}" x="{LABELS}" y="{top}" width="{float(end) - LABELS:.1f}" height="{STEP - 5}"/>')
        svg.append(f'<text x="{float(end) + 6:.1f}" y="{top + 12}">{number(value)}{escape(unit)}</text>')
    return "\n".join([*svg, "</svg>"]) + "\n"


def powers(values):
    """The powers of ten around all values; the lowest is below all, or it would have no bar."""
    first, last = math.ceil(math.log10(min(values))) - 1, math.ceil(math.log10(max(values)))
    return [10.0**power for power in range(first, last + 1)]


def steps(most):
    """From 0 in round steps to at least the greatest value."""
    step = 10 ** math.floor(math.log10(most / 2))
    step *= next(factor for factor in (1, 2, 5, 10) if most / (step * factor) <= 5)
    return [step * index for index in range(math.ceil(most / step) + 1)]
