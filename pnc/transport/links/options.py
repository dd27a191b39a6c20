"""The options in a link's URL."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

from pnc.errors import ConfigError

__all__ = ["check_options", "hide_token", "take_option"]

T = TypeVar("T")


def take_option(
    url: str, settings: Mapping[str, str], name: str, convert: Callable[[str], T], default: T
) -> T:
    """Read one option of a link's URL.

    Raises:
        ConfigError: It does not convert.
    """
    if name not in settings:
        return default
    try:
        return convert(settings[name])
    except ValueError:
        raise ConfigError(
            f"{url}: {name}={settings[name]!r} is not a number", url=url, option=name
        ) from None


def check_options(url: str, settings: Mapping[str, str], known: tuple[str, ...]) -> None:
    """Refuse options that a link does not have.

    Raises:
        ConfigError: An unknown option; the message names the known ones.
    """
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise ConfigError(
            f"{url}: unknown option {unknown[0]}; known are {', '.join(known)}", url=url
        )


def hide_token(url: str) -> str:
    """Return a link's URL without the secret in it: for messages, logs and pages."""
    return re.sub(r"([?&]token=)[^&#]*", r"\1***", url)
