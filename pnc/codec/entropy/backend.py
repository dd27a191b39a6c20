"""The range coder in use: constriction where it can be imported, else our own; same bits.

constriction is about 15 times faster, but has no wheel for Linux on ARM. The environment variable
``PNC_RANGE_CODER`` asks for one of the two by name: ``constriction`` or ``python``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pnc.codec.entropy.range_coder import FREQUENCY_BITS, Categorical, RangeDecoder, RangeEncoder
from pnc.errors import ConfigError

__all__ = ["BACKEND", "PYTHON", "VARIABLE", "Backend", "choose", "load_constriction"]

VARIABLE = "PNC_RANGE_CODER"


@dataclass(frozen=True)
class Backend:
    """One range coder. constriction's classes, which have no types, have the face of our own."""

    name: str
    make_encoder: Callable[[], RangeEncoder]
    make_decoder: Callable[[NDArray[np.uint32]], RangeDecoder]
    make_model: Callable[[Sequence[int]], Categorical]
    """From frequencies that sum to ``2**16``."""


PYTHON = Backend("python", RangeEncoder, RangeDecoder, Categorical)


def choose(wanted: str = "") -> Backend:
    """The backend of that name; of no name constriction's if it is installed, else our own.

    Raises:
        ConfigError: there is none of that name, or it is not installed.
    """
    if wanted not in ("", "constriction", "python"):
        raise ConfigError(f"{VARIABLE}={wanted}: the range coders are 'constriction' and 'python'")
    if wanted == "python":
        return PYTHON
    try:
        return load_constriction()
    except ImportError as error:
        if wanted:
            raise ConfigError(
                f"{VARIABLE}={wanted}: not installed here; unset it to use PNC's own range coder"
            ) from error
        return PYTHON


def load_constriction() -> Backend:
    """The backend of constriction.

    With double-precision probabilities ``f / 2**16`` its quantisation to 24 bits is exact integer
    arithmetic, the one of :class:`pnc.codec.entropy.range_coder.Categorical`.

    Raises:
        ImportError: it is not installed.
    """
    import constriction

    def make_model(frequencies: Sequence[int]) -> Categorical:
        probabilities = np.asarray(frequencies, np.float64) / (1 << FREQUENCY_BITS)
        model: Categorical = constriction.stream.model.Categorical(probabilities, perfect=False)
        return model

    queue = constriction.stream.queue
    return Backend("constriction", queue.RangeEncoder, queue.RangeDecoder, make_model)


BACKEND = choose(os.environ.get(VARIABLE, ""))
"""What this process codes with."""
