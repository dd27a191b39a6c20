from __future__ import annotations

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from pnc import belt
from pnc.codec.codec import Codec
from tests.codec.cases import CASES, Case

settings.register_profile("codec", deadline=None, max_examples=50)
settings.load_profile("codec")


@pytest.fixture(scope="session", params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.load("belt")


@pytest.fixture(scope="session")
def picture() -> NDArray[np.uint8]:
    return belt.render(5)[0]


@pytest.fixture(scope="session")
def stream(codec: Codec, picture: NDArray[np.uint8]) -> bytes:
    return codec.encode(picture)
