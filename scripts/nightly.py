"""The nightly toolchain, which Miri and the sanitizers need: what is missing is added, or the command that adds it is named."""

import os
import shutil
import subprocess
import sys


def fail(message):
    # `make test` tells a suite that a machine cannot run from one that failed by the first words.
    print(f"left out: {message}", file=sys.stderr)
    sys.exit(2)


def answer(*command):
    """What a command prints, or nothing where it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""


def libraries(components):
    """Where the nightly's own libraries are; with these components of it installed."""
    wanted = " ".join(components)
    install = f"rustup toolchain install nightly --profile minimal {' '.join(f'--component {name}' for name in components)}"
    if shutil.which("rustup") is None:
        fail(f"a nightly Rust is needed, and rustup to get it: https://rustup.rs, then: {install}")
    sysroot = answer("rustc", "+nightly", "--print", "sysroot")
    if not sysroot:
        fail(f"a nightly Rust is needed: {install}")
    installed = answer("rustup", "component", "list", "--toolchain", "nightly", "--installed").splitlines()
    missing = [name for name in components if not any(line == name or line.startswith(f"{name}-") for line in installed)]
    add = f"rustup component add --toolchain nightly {wanted}"
    if missing and subprocess.run(add.split(), check=False).returncode != 0:
        fail(f"the nightly has no {' and no '.join(missing)}, and this failed: {add}")
    host = next((line.split()[1] for line in answer("rustc", "+nightly", "-vV").splitlines() if line.startswith("host:")), "")
    return os.path.join(sysroot, "lib", "rustlib", host, "lib")
