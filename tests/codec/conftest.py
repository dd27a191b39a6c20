from __future__ import annotations

import pytest
from hypothesis import settings

from pnc import belt
from pnc.codec.codec import Codec
from tests.codec.cases import CASES, Case, Symbols

settings.register_profile("codec", deadline=None, max_examples=50)
settings.load_profile("codec")


@pytest.fixture(scope="session", params=sorted(CASES))
def case(request: pytest.FixtureRequest) -> Case:
    return CASES[request.param]()


@pytest.fixture(scope="session")
def codec() -> Codec:
    return Codec.load("belt")


@pytest.fixture(scope="session")
def picture() -> Symbols:
    return belt.render(5)[0]


@pytest.fixture(scope="session")
def stream(codec: Codec, picture: Symbols) -> bytes:
    return codec.encode(picture)
