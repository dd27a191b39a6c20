"""What was sent, written down before it is sent."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

from device.pictures import EncodedPicture
from pnc.errors import StoreError

__all__ = ["Manifest"]


class Manifest:
    """A JSONL file that says, before a picture is sent, what it is; for measuring afterwards.

    Args:
        path: The file; begun anew.

    Raises:
        StoreError: It cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise self._refuse(error) from error

    def add(self, session_id: int, picture_id: int, encoded: EncodedPicture, at: float) -> None:
        """Write one line, at once.

        Args:
            session_id: Of the sender.
            picture_id: The id that the picture is about to get.
            encoded: The picture.
            at: Unix time, seconds.
        """
        line = {
            "session_id": session_id,
            "picture_id": picture_id,
            "source": encoded.picture.name,
            "label": encoded.picture.label,
            "encoded_bytes": encoded.num_bytes,
            "submitted_at": at,
        }
        data = json.dumps(line).encode() + b"\n"
        try:
            if self._file.write(data) < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise self._refuse(error) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _refuse(self, error: OSError) -> StoreError:
        reason = (error.strerror or type(error).__name__).lower()
        return StoreError(
            f"{self._path}: the manifest cannot be written ({reason}); free space or choose another"
            " file with --manifest",
            path=self._path,
        )
