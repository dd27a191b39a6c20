"""Every exception that PNC raises on purpose.

``str(error)`` is the one line for the user: what, where, what to do. The facts behind the line are
keyword arguments and come back as attributes, so that a program never has to read the text::

    raise LinkLostError(f"{url}: the port went away; plug it in again", url=url)
    except LinkLostError as error: reopen(error.url)
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "BitstreamError",
    "CheckpointError",
    "ConfigError",
    "CorruptBitstreamError",
    "FrameTooLargeError",
    "ImageError",
    "LinkError",
    "LinkLostError",
    "LocalProtocolError",
    "PncError",
    "ProtocolError",
    "RemoteProtocolError",
    "StoreError",
]


class PncError(Exception):
    """Base of all PNC errors.

    Args:
        message: One line: what, where, what to do.
        **facts: Anything a program may want to know; each becomes an attribute.

    Raises:
        TypeError: A fact would hide an attribute that every exception has, such as ``args``.
    """

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message)
        hidden = sorted(name for name in facts if hasattr(BaseException, name) or name == "facts")
        if hidden:
            raise TypeError(f"{', '.join(hidden)}: not a possible name of a fact")
        self.__dict__.update(facts)

    @property
    def facts(self) -> dict[str, Any]:
        """The keyword facts this error was raised with, by name."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def __getattr__(self, name: str) -> Any:
        """Raise AttributeError: known facts are ordinary attributes and never come here."""
        raise AttributeError(f"{type(self).__name__} carries no fact {name!r}")


class ConfigError(PncError, ValueError):
    """A setting, an argument, an address or a file of settings is not usable."""


class ImageError(PncError):
    """A picture cannot be read, is not a picture, or is larger than the limits allow."""


class CheckpointError(PncError):
    """A checkpoint is missing, incomplete, altered, or not the one that a stream names."""


class BitstreamError(PncError):
    """A bitstream cannot be used, for example because another checkpoint made it."""


class CorruptBitstreamError(BitstreamError):
    """Bytes that no encoder writes.

    Random bytes cause no other error in the codec, unless they begin as the bytes of another
    checkpoint or version do: then its parent.
    """


class ProtocolError(PncError):
    """One side broke the protocol of the wire. Abstract: only its children are raised."""

    def __init__(self, message: str, **facts: Any) -> None:
        if type(self) is ProtocolError:
            raise TypeError("ProtocolError is abstract: raise its Local or its Remote child")
        super().__init__(message, **facts)


class LocalProtocolError(ProtocolError):
    """This program asked a session for something the protocol does not allow. A defect here."""


class RemoteProtocolError(ProtocolError):
    """The other side sent something the protocol does not allow."""


class FrameTooLargeError(RemoteProtocolError):
    """The other side sent a frame beyond the limit."""


class LinkError(PncError):
    """A link cannot be opened: missing, busy, not permitted, or of an unknown kind."""


class LinkLostError(LinkError):
    """An open link went away. Transient: opening it again makes sense."""


class StoreError(PncError):
    """The result store cannot be opened, read or written: disk full, locked, another format."""
