"""A hash of source files, for caches of what they computed."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path


@lru_cache
def source_digest(*paths: str) -> str:
    """A hash of Python source: a change there may change what it computes.

    Args:
        paths: the ``__file__`` of modules; that of a package stands for all of the package.
    """
    digest = hashlib.sha256()
    for path in map(Path, paths):
        of_package = path.name == "__init__.py"
        for file in sorted(path.parent.rglob("*.py")) if of_package else [path]:
            digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
