"""Our range coder against constriction's: the same words, states, symbols and refusals."""

from __future__ import annotations

import random
import sys
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pnc.codec.bitstream import HEADER_BYTES, decode_stream
from pnc.codec.entropy import backend
from pnc.codec.entropy.backend import PYTHON, Backend
from pnc.codec.entropy.range_coder import Categorical, RangeDecoder, RangeEncoder
from pnc.errors import ConfigError, CorruptBitstreamError
from tests.codec.cases import CASES, CHECKPOINT_ID, plan_of, priors_of, stream_of

TOTAL = 1 << 16
SIZES = (2, 3, 4, 5, 7, 16, 17, 31, 64, 127, 128, 255, 256, 257, 300, 511, 512)

GOLDEN_WORDS = [
    0x635490,
    0x594B20A5,
    0xDB3C7282,
    0xB9E9228F,
    0xFBCF8BD5,
    0x113FF6DD,
    0xC497DDB6,
    0xA9E70314,
    0xBC1B3C12,
    0x98929EDE,
]
"""Written by constriction 0.5.0."""

Run = tuple[tuple[int, ...], list[int]]


@pytest.fixture(scope="module")
def constriction() -> Backend:
    pytest.importorskip("constriction")
    return backend.load_constriction()


def int32(symbols: list[int]) -> NDArray[np.int32]:
    return np.array(symbols, np.int32)


def random_frequencies(size: int, generator: random.Random) -> tuple[int, ...]:
    cuts = sorted(generator.sample(range(1, TOTAL), size - 1))
    return tuple(after - before for before, after in pairwise([0, *cuts, TOTAL]))


def skewed(size: int, favourite: int) -> tuple[int, ...]:
    return tuple(TOTAL - size + 1 if i == favourite else 1 for i in range(size))


@st.composite
def runs(draw: st.DrawFn) -> list[Run]:
    """A few tables, flat to as skewed as can be, each with symbols that it finds likely or not."""
    drawn = []
    for _ in range(draw(st.integers(1, 6))):
        generator = random.Random(draw(st.integers(0, 2**32)))
        size = draw(st.sampled_from(SIZES))
        extreme = draw(st.booleans())
        frequencies = (
            skewed(size, generator.randrange(size))
            if extreme
            else random_frequencies(size, generator)
        )
        number = draw(st.integers(0, 300))
        likely = draw(st.booleans())
        weights = frequencies if likely else None
        drawn.append((frequencies, generator.choices(range(size), weights, k=number)))
    return drawn


def state_of(encoder: Any) -> tuple[Any, ...]:
    position, (lower, range_) = encoder.pos()
    state = (int(position), int(lower), int(range_))
    return (*state, encoder.num_words(), encoder.num_bits(), encoder.is_empty())


def words_of(encoder: Any) -> list[int]:
    words: NDArray[np.uint32] = encoder.get_compressed()
    assert words.dtype == np.uint32
    return [int(word) for word in words]


def read(coder: Backend, words: NDArray[np.uint32], steps: list[tuple[Any, int]]) -> list[Any]:
    """What comes out step by step, up to a refusal."""
    decoder = coder.make_decoder(words)
    out: list[Any] = []
    for model, number in steps:
        try:
            symbols = decoder.decode(model, number)
        except AssertionError:
            return [*out, "refused"]
        assert symbols.dtype == np.int32
        out.append(symbols.tolist())
    return out


@pytest.mark.parametrize("size", SIZES)
def test_each_symbol_has_the_interval_that_constriction_gives_it(
    constriction: Backend, size: int
) -> None:
    generator = random.Random(size)
    for frequencies in (
        random_frequencies(size, generator),
        skewed(size, 0),
        skewed(size, size - 1),
        skewed(size, size // 2),
    ):
        models = PYTHON.make_model(frequencies), constriction.make_model(frequencies)
        for symbol in range(size):
            encoders = PYTHON.make_encoder(), constriction.make_encoder()
            for encoder, model in zip(encoders, models, strict=True):
                encoder.encode(int32([symbol]), model)
            assert state_of(encoders[0]) == state_of(encoders[1])


@settings(max_examples=60, deadline=None)
@given(runs())
def test_words_states_and_clones_are_those_of_constriction(
    constriction: Backend, drawn: list[Run]
) -> None:
    ours, theirs = PYTHON.make_encoder(), constriction.make_encoder()
    for frequencies, symbols in drawn:
        before = state_of(ours), words_of(ours)
        clone = ours.clone()
        ours.encode(int32(symbols), PYTHON.make_model(frequencies))
        theirs.encode(int32(symbols), constriction.make_model(frequencies))
        assert state_of(ours) == state_of(theirs)
        assert words_of(ours) == words_of(theirs)
        assert (state_of(clone), words_of(clone)) == before
        clone.encode(int32(symbols), PYTHON.make_model(frequencies))
        assert (state_of(clone), words_of(clone)) == (state_of(ours), words_of(ours))


@settings(max_examples=60, deadline=None)
@given(runs())
def test_what_was_encoded_is_decoded(drawn: list[Run]) -> None:
    encoder = RangeEncoder()
    for frequencies, symbols in drawn:
        encoder.encode(int32(symbols), Categorical(frequencies))
    decoder = RangeDecoder(encoder.get_compressed())
    for frequencies, symbols in drawn:
        twin = decoder.clone()
        model = Categorical(frequencies)
        half = len(symbols) // 2
        assert decoder.decode(model, len(symbols)).tolist() == symbols
        assert twin.decode(model, half).tolist() == symbols[:half]
        assert twin.decode(model, len(symbols) - half).tolist() == symbols[half:]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 2**32 - 1), max_size=12), runs())
def test_garbage_decodes_or_is_refused_as_by_constriction(
    constriction: Backend, words: list[int], drawn: list[Run]
) -> None:
    garbage = np.array(words, np.uint32)
    ours, theirs = (
        read(coder, garbage, [(coder.make_model(f), len(symbols)) for f, symbols in drawn])
        for coder in (PYTHON, constriction)
    )
    assert ours == theirs


def test_words_that_no_encoder_writes_are_refused_by_both(constriction: Backend) -> None:
    ones = np.full(4, 2**32 - 1, np.uint32)
    for coder in (PYTHON, constriction):
        model = coder.make_model((TOTAL // 4, TOTAL // 4 * 3))
        assert read(coder, ones, [(model, 1)]) == ["refused"]


def test_a_refusal_leaves_the_decoder_as_it_was() -> None:
    model = Categorical((TOTAL - 1, 1))
    decoder = RangeDecoder(np.array([2**31, 2**32 - 1, 2**32 - 1], np.uint32))
    twin = decoder.clone()
    decoder._distance = twin._distance = 2**64 - 1
    with pytest.raises(AssertionError, match="beginning of any coded symbols"):
        decoder.decode(model, 3)
    assert vars(decoder) == vars(twin)


@pytest.mark.parametrize("ending", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("num_symbols", [10, 100, 3000])
def test_a_carry_runs_through_all_words_that_it_may_change(
    constriction: Backend, num_symbols: int, ending: int
) -> None:
    frequencies = (9001, 20011, 17, 30007, 6500)
    boundary = np.array([2**31], np.uint32)
    symbols = RangeDecoder(boundary).decode(Categorical(frequencies), num_symbols)
    ours, theirs = PYTHON.make_encoder(), constriction.make_encoder()
    for part in (symbols, int32([ending] * 40)):
        ours.encode(part, PYTHON.make_model(frequencies))
        theirs.encode(part, constriction.make_model(frequencies))
        assert state_of(ours) == state_of(theirs)
        assert words_of(ours) == words_of(theirs)
    if num_symbols > 100:
        kind = {0: (2**31 - 1, 2**32 - 1), 4: (2**31, 0)}
        if ending in kind:
            assert tuple(words_of(ours)[:2]) == kind[ending]


def test_nothing_coded_is_no_words() -> None:
    encoder = RangeEncoder()
    encoder.encode(int32([]), Categorical((1, TOTAL - 1)))
    assert encoder.is_empty()
    assert words_of(encoder) == []
    assert encoder.num_bits() == 0
    assert encoder.pos() == (0, (0, 2**64 - 1))


def test_words_are_the_golden_ones() -> None:
    encoder = RangeEncoder()
    encoder.encode(int32([0, 1, 2, 2, 1, 0, 0, 2] * 6), Categorical((100, 65000, 436)))
    assert words_of(encoder) == GOLDEN_WORDS


@pytest.mark.parametrize("symbol", [-1, 2])
def test_a_symbol_of_no_model_changes_nothing(symbol: int) -> None:
    model = Categorical((TOTAL // 2, TOTAL // 2))
    encoder = RangeEncoder()
    encoder.encode(int32([1, 0, 1]), model)
    before = state_of(encoder), words_of(encoder)
    with pytest.raises(KeyError):
        encoder.encode(int32([0] * 100 + [symbol]), model)
    assert (state_of(encoder), words_of(encoder)) == before


@pytest.mark.parametrize("name", sorted(CASES))
def test_streams_and_packets_are_the_same_with_both(
    constriction: Backend, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outcomes = []
    for coder in (PYTHON, constriction):
        monkeypatch.setattr(backend, "BACKEND", coder)
        case = CASES[name]()
        plan, priors, stream = plan_of(case), priors_of(case), stream_of(case)
        known: list[Any] = []
        for stop in range(HEADER_BYTES, len(stream) + 1, 7):
            knowledge, num_symbols = decode_stream(plan, priors, CHECKPOINT_ID, stream[:stop])
            known.append((num_symbols, knowledge.values.tobytes(), knowledge.shifts.tobytes()))
        generator = random.Random(name)
        for _ in range(20):
            garbage = stream[:HEADER_BYTES] + generator.randbytes(generator.randrange(60))
            try:
                _, num_symbols = decode_stream(plan, priors, CHECKPOINT_ID, garbage)
            except CorruptBitstreamError as error:
                known.append(str(error))
            else:
                known.append(num_symbols)
        outcomes.append((case, known))
    assert outcomes[0] == outcomes[1]


def test_constriction_is_preferred_where_it_is_installed(constriction: Backend) -> None:
    assert backend.choose().name == "constriction"
    assert backend.choose("constriction").name == "constriction"
    assert backend.choose("python") is PYTHON


def test_our_own_coder_stands_in_where_constriction_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "constriction", None)
    assert backend.choose() is PYTHON
    with pytest.raises(ConfigError, match="PNC_RANGE_CODER=constriction: not installed"):
        backend.choose("constriction")


def test_an_unknown_coder_is_refused() -> None:
    with pytest.raises(ConfigError, match="'constriction' and 'python'"):
        backend.choose("huffman")
