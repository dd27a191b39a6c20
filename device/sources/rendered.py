"""Pictures that are rendered: parts on a conveyor belt."""

from __future__ import annotations

from device.sources.base import Picture

__all__ = ["BeltSource"]


class BeltSource:
    """Renders parts on a conveyor belt; never ends.

    Args:
        seed: Which belt; the same seed gives the same pictures.
    """

    live = False

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._index = 0

    def take(self) -> Picture:
        """Render the next picture."""
        from pnc import belt

        index, self._index = self._index, self._index + 1
        pixels, label = belt.render(index, seed=self._seed)
        return Picture(pixels, f"belt:{self._seed}:{index}", belt.CLASSES[label])

    def reject(self, picture: Picture) -> None:
        """Do nothing: rendered pictures are never broken."""

    def close(self) -> None:
        """Do nothing."""
