"""The table of figures."""

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Row:
    name: str
    value: float
    unit: str
    # None: a figure that is told, and not judged.
    bar: float | None = None
    is_least: bool = False

    def is_over(self):
        if self.bar is None:
            return False
        return self.value < self.bar if self.is_least else self.value > self.bar

    def cells(self):
        measured = number(self.value) + self.unit
        if self.bar is None:
            return self.name, measured, "", "", ""
        bar = f"at {'least' if self.is_least else 'most'} {number(self.bar)}{self.unit}"
        ratio = f"{self.value / self.bar:.2f}" if self.bar else ""
        return self.name, measured, bar, ratio, "OVER" if self.is_over() else "ok"


class Table:
    def __init__(self):
        self.rows = []

    def at_most(self, name, value, unit, bar):
        self.add(Row(name, value, unit, bar))

    def at_least(self, name, value, unit, bar):
        self.add(Row(name, value, unit, bar, is_least=True))

    def told(self, name, value, unit):
        """A figure without a bar."""
        self.add(Row(name, value, unit))

    def add(self, row):
        self.rows.append(row)
        name, value, bar, _, verdict = row.cells()
        print(f"  {name}: {value} {f'({bar}: {verdict})' if bar else ''}".rstrip(), file=sys.stderr, flush=True)

    def over(self):
        return sum(row.is_over() for row in self.rows)

    def text(self):
        rows = [("figure", "measured", "bar", "measured / bar", ""), *(row.cells() for row in self.rows)]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines) + "\n"


def number(value):
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
