"""The exception tree: who is whose child, facts as attributes, safe across processes."""

from __future__ import annotations

import copy

import pytest

import pnc
from pnc import errors
from pnc.errors import (
    BitstreamError,
    CheckpointError,
    ConfigError,
    CorruptBitstreamError,
    FrameTooLargeError,
    ImageError,
    LinkError,
    LinkLostError,
    LocalProtocolError,
    PncError,
    ProtocolError,
    RemoteProtocolError,
    StoreError,
)


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        (ConfigError, PncError),
        (ConfigError, ValueError),
        (ImageError, PncError),
        (CheckpointError, PncError),
        (BitstreamError, PncError),
        (CorruptBitstreamError, BitstreamError),
        (ProtocolError, PncError),
        (LocalProtocolError, ProtocolError),
        (RemoteProtocolError, ProtocolError),
        (FrameTooLargeError, RemoteProtocolError),
        (LinkError, PncError),
        (LinkLostError, LinkError),
        (StoreError, PncError),
    ],
)
def test_tree(child: type[Exception], parent: type[Exception]) -> None:
    assert issubclass(child, parent)


def test_every_error_is_public_in_both_places() -> None:
    defined = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert defined == set(errors.__all__)
    assert defined <= set(pnc.__all__)


def test_message_is_the_line_and_facts_are_attributes() -> None:
    error = LinkLostError("serial:/dev/x: gone; plug it in again", url="serial:/dev/x", tries=3)
    assert str(error) == "serial:/dev/x: gone; plug it in again"
    assert error.url == "serial:/dev/x"
    assert error.facts == {"url": "serial:/dev/x", "tries": 3}


def test_unknown_fact_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="ImageError carries no fact 'path'"):
        _ = ImageError("x: not a picture").path


@pytest.mark.parametrize("name", ["args", "with_traceback", "facts"])
def test_fact_may_not_hide_what_every_exception_has(name: str) -> None:
    with pytest.raises(TypeError, match="not a possible name"):
        PncError("x", **{name: 1})


def test_protocol_error_itself_is_abstract() -> None:
    with pytest.raises(TypeError, match="abstract"):
        ProtocolError("x")
    assert FrameTooLargeError("x", num_bytes=9).num_bytes == 9


def test_notes_are_not_facts() -> None:
    error = PncError("x", number=1)
    error.add_note("seen in a test")
    assert error.facts == {"number": 1}


def test_facts_survive_a_copy() -> None:
    error = copy.copy(FrameTooLargeError("too large", num_bytes=70_000))
    assert type(error) is FrameTooLargeError
    assert (str(error), error.num_bytes) == ("too large", 70_000)
