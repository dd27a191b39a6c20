from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pnc import belt


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    return belt.render(3, seed=3)[0]
