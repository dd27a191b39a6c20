"""Records of pictures as :mod:`training.report.gather` makes them."""

from __future__ import annotations

from typing import Any

from training.report.gather import BUDGETS, RIVAL_BUDGETS

CLASSES = ("cup", "spoon & fork", "<b>")


def make_records(count: int = 12) -> list[dict[str, Any]]:
    """Ours knows the class from 1,024 bytes on; WebP small from 512, WebP large from 2,048 on."""

    def see(label: int, right: bool) -> list[float]:
        return [label if right else (label + 1) % 3, 0.9 if right else 0.1]

    return [
        {
            "index": index,
            "name": f"cup/{index}.jpg",
            "label": (label := index % 3),
            "bytes": 5000,
            "undamaged": see(label, True),
            "ours": {str(b): see(label, b >= 1024) for b in BUDGETS},
            "rivals": {
                "webp": {
                    "full size": {
                        str(b): None if b < 512 else see(label, b >= 2048) for b in RIVAL_BUDGETS
                    },
                    "scale 1/2": {str(b): see(label, 512 <= b < 4096) for b in RIVAL_BUDGETS},
                }
            },
        }
        for index in range(count)
    ]
