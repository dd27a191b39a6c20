"""Rivals by the words of their setting."""

from __future__ import annotations

from pnc.replay.baselines import Contender, open_family


def variant(family: str, setting: str) -> Contender:
    return next(v for v in open_family(family) if v.setting == setting)
