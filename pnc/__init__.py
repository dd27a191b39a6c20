"""PNC: progressive neural compression of pictures for links that may stop at any moment.

The public face. Names load on first use, so that ``import pnc`` costs next to nothing and a device
without the server's packages never notices what it lacks::

    from pnc import Codec, Receiver, Sender, open_link

    codec = Codec.load("belt")
    stream = codec.encode("picture.jpg")
    picture = codec.decode(stream[:1024])
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from pnc.codec.codec import Codec
    from pnc.transport.links import open_link
    from pnc.transport.session import Receiver, Sender

__version__ = "0.1.0"

__all__ = [
    "BitstreamError",
    "CheckpointError",
    "Codec",
    "ConfigError",
    "CorruptBitstreamError",
    "FrameTooLargeError",
    "ImageError",
    "LinkError",
    "LinkLostError",
    "LocalProtocolError",
    "PncError",
    "ProtocolError",
    "Receiver",
    "RemoteProtocolError",
    "Sender",
    "StoreError",
    "__version__",
    "open_link",
]

_HOME_OF_NAME = {
    "Codec": "pnc.codec.codec",
    "Receiver": "pnc.transport.session",
    "Sender": "pnc.transport.session",
    "open_link": "pnc.transport.links",
}


def __getattr__(name: str) -> Any:
    """Load a public name from the module it lives in, once."""
    home = _HOME_OF_NAME.get(name)
    if home is None:
        raise AttributeError(f"module 'pnc' has no attribute {name!r}")
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted({*globals(), *__all__})
