"""``python -m benchmarks [NAME ...]``: run all benchmarks, or those named, one after the other.

A benchmark is a module of this package with a function ``main()`` that takes no arguments and
writes its results as JSON.
"""

from __future__ import annotations

import pkgutil
import sys
from importlib import import_module

import typer

import benchmarks


def main(names: list[str]) -> int:
    """Run benchmarks.

    Args:
        names: Modules of this package; all that have a ``main`` if empty.

    Returns:
        The exit status: 0, or 2 for a name that is no benchmark.
    """
    found = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    modules = {name: import_module(f"benchmarks.{name}") for name in found if name != "__main__"}
    runnable = {name: module for name, module in modules.items() if hasattr(module, "main")}
    for name in names:
        if name not in runnable:
            choice = ", ".join(runnable) or "none yet"
            typer.echo(f"benchmarks: error: no benchmark {name!r}; there are: {choice}", err=True)
            return 2
    for name in names or runnable:
        typer.echo(f"benchmark {name}")
        runnable[name].main()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
