"""Write the exact versions of everything ``pnc`` needs, as installed here, in pip's format."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("device", "server", "train", "dev")

SMALL_MACHINE = "platform_machine != 'armv7l' and platform_machine != 'armv6l'"
"""tflite-runtime, the interpreter of 32-bit machines, wants another NumPy."""

MARKERS = {"numpy": SMALL_MACHINE}

FREE = {"pip", "setuptools", "wheel"}
"""They come with the environment, and an old one fails on a newer Python."""


def find_versions(name: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Collect what a distribution with those extras needs, all the way down.

    Args:
        name: Name of an installed distribution.
        extras: Its extras to follow.

    Returns:
        Version by canonical name, without ``name`` itself.
    """
    versions: dict[str, str] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(name), extra) for extra in ("", *extras)]
    while waiting:
        item = waiting.pop()
        if item in seen:
            continue
        seen.add(item)
        parent, extra = item
        try:
            installed = distribution(parent)
        except PackageNotFoundError:
            continue
        versions[parent] = installed.version
        for line in installed.requires or []:
            requirement = Requirement(line)
            if requirement.marker and not requirement.marker.evaluate({"extra": extra}):
                continue
            child = canonicalize_name(requirement.name)
            waiting += [(child, wanted) for wanted in ("", *requirement.extras)]
    del versions[canonicalize_name(name)]
    return versions


def main() -> None:
    """Print the constraints."""
    python = ".".join(map(str, sys.version_info[:2]))
    print(f"# What the tests last ran with, on Python {python}. Written by `make constraints`.")
    for name, version in sorted(find_versions("pnc", EXTRAS).items()):
        if name in FREE:
            continue
        marker = f"; {MARKERS[name]}" if name in MARKERS else ""
        print(f"{name}=={version}{marker}")


if __name__ == "__main__":
    main()
