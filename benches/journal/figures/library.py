"""The shared library itself."""

import os
import subprocess
import tempfile


def size(bench):
    with tempfile.TemporaryDirectory(prefix="opjournal-bench-") as directory:
        stripped = os.path.join(directory, "stripped")
        subprocess.run(["strip", "-o", stripped, bench.library], check=True)
        bench.table.at_most("shared library, stripped", os.path.getsize(stripped) / 1e6, " MB", 8)
