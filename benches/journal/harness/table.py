"""The table of figures."""

import sys


class Table:
    def __init__(self):
        self.rows = []

    def at_most(self, name, value, unit, bar):
        self.add(name, value, unit, bar, value <= bar, "at most")

    def at_least(self, name, value, unit, bar):
        self.add(name, value, unit, bar, value >= bar, "at least")

    def add(self, name, value, unit, bar, is_ok, sense):
        bar_text = f"{sense} {number(bar)}{unit}"
        ratio = f"{value / bar:.2f}" if bar else ""
        self.rows.append((name, number(value) + unit, bar_text, ratio, "ok" if is_ok else "OVER"))
        self.show()

    def told(self, name, value, unit):
        """A figure without a bar."""
        self.rows.append((name, number(value) + unit, "", "", ""))
        self.show()

    def show(self):
        name, value, bar, ratio, verdict = self.rows[-1]
        print(f"  {name}: {value} {f'({bar}: {verdict})' if bar else ''}".rstrip(), file=sys.stderr, flush=True)

    def over(self):
        return sum(row[4] == "OVER" for row in self.rows)

    def text(self):
        rows = [("figure", "measured", "bar", "measured / bar", ""), *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(5)]
        lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in rows]
        lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
        return "\n".join(lines) + "\n"


def number(value):
    if float(value).is_integer():
        return f"{int(value):,}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
