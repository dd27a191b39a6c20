from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pnc.errors import ConfigError
from pnc.replay.huffman import HuffmanCode, fit_lengths


def test_textbook_counts_have_the_textbook_lengths() -> None:
    assert sorted(fit_lengths([45, 13, 12, 16, 9, 5])) == [1, 3, 3, 3, 4, 4]
    assert fit_lengths([45, 13, 12, 16, 9, 5])[0] == 1


def test_canonical_codes_are_those_of_rfc_1951() -> None:
    code = HuffmanCode([3, 3, 3, 3, 3, 2, 4, 4])
    assert code.codes == (0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111)


@settings(deadline=None)
@given(
    counts=st.lists(st.integers(1, 10**6), min_size=2, max_size=64),
    data=st.data(),
)
def test_symbols_come_back(counts: list[int], data: st.DataObject) -> None:
    code = HuffmanCode(fit_lengths(counts))
    drawn = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=60))
    symbols = np.array(drawn, np.uint8)
    stream = code.encode(symbols)
    assert len(stream) == math.ceil(sum(code.lengths[s] for s in drawn) / 8)
    if drawn:
        found = code.decode(stream + b"more", len(drawn))
        assert found is not None
        assert found[0].tolist() == drawn
        assert found[1] == len(stream)
        assert code.decode(stream[:-1], len(drawn)) is None


@settings(deadline=None)
@given(counts=st.lists(st.integers(1, 10**4), min_size=2, max_size=64))
def test_mean_length_is_within_a_bit_of_the_entropy(counts: list[int]) -> None:
    shares = np.array(counts) / sum(counts)
    mean = float(shares @ np.array(fit_lengths(counts)))
    entropy = float(-(shares * np.log2(shares)).sum())
    assert entropy - 1e-9 <= mean < entropy + 1


@pytest.mark.parametrize("counts", [[], [3], [3, 0]])
def test_counts_that_have_no_code_are_refused(counts: list[int]) -> None:
    with pytest.raises(ConfigError, match="positive count"):
        fit_lengths(counts)


@pytest.mark.parametrize("lengths", [[], [0, 1], [1, 1, 1], [1, 63]])
def test_lengths_that_have_no_code_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ConfigError, match="no prefix code"):
        HuffmanCode(lengths)
