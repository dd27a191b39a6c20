"""What can be measured, by text; a text is also what travels to the processes.

webp, avif, ...             a rival of Pillow's, see `pnc.replay.baselines`
rtss23-huffman              the published transmission over the checkpoint ``rtss23``
rtss23-huffman=SOURCE       over another checkpoint of that architecture, or an ``.npz`` file
klt=FILE.npz                a transform without learning, see `pnc.replay.klt`
NAME or FOLDER              a checkpoint of ours
NAME?mtu=...                its packets, some of them lost, see `name_lossy`
NAME?received=BASE64        packets that arrived, whatever sent them, see `name_received`
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from urllib.parse import parse_qs

from benchmarks.pictures import PictureSet
from pnc.codec.codec import Codec
from pnc.codec.image import Fit
from pnc.errors import ConfigError
from pnc.replay.baselines import RIVALS, Contender, open_family
from pnc.replay.baselines.own import OwnStreams
from pnc.replay.huffman import HuffmanCode
from pnc.replay.klt import Klt, read_transform
from pnc.replay.loss import LossyPackets, pack_packets
from pnc.replay.received import ReceivedPackets
from pnc.replay.rtss23 import FAMILY as PUBLISHED
from pnc.replay.rtss23 import PublishedFeatures, fit_codes, read_tables, write_tables
from pnc.replay.rtss23_network import Network, open_network

TABLE_PICTURES = 500
"""Pictures of each set that Huffman tables are fitted to: half a million symbols a feature."""

_TABLES = ",tables="

_KLT = "klt="


def is_rival(text: str) -> bool:
    """Return whether a text names a rival rather than a checkpoint of ours."""
    return text in RIVALS or text.startswith(_KLT) or _is_published(text)


@lru_cache(maxsize=256)
def open_codec(text: str) -> tuple[Contender, ...]:
    """Return the variants of a rival, or of anything else its only one.

    Raises:
        ConfigError: The rival is not installed, or the published one has no tables yet, or
            packets are described in another way.
        CheckpointError: No such checkpoint or transform.
    """
    if text in RIVALS:
        return tuple(open_family(text))
    if text.startswith(_KLT):
        path = Path(text.removeprefix(_KLT))
        read_transform(path)
        return (Klt(path),)
    if _is_published(text):
        source, tables = _split_published(text)
        network = _open_network(source)
        lengths = read_tables(Path(tables)) if tables else network.huffman_lengths
        if lengths is None:
            raise ConfigError(f"{text}: has no Huffman tables; fit them with `fit_tables`")
        return (PublishedFeatures(network, tuple(HuffmanCode(row) for row in lengths)),)
    checkpoint, question, options = text.partition("?")
    if not question:
        return (OwnStreams(_load(text)),)
    given = {key: values[0] for key, values in parse_qs(options, keep_blank_values=True).items()}
    try:
        if "received" in given:
            packets = base64.urlsafe_b64decode(given["received"])
            return (ReceivedPackets(_load(checkpoint), packets),)
        mtu, seed = int(given["mtu"]), int(given["seed"])
        redundancy, loss = float(given["redundancy"]), float(given["loss"])
    except (KeyError, ValueError) as error:
        wanted = name_lossy(checkpoint, 64, 0.25, 0.05, 0)
        raise ConfigError(f"{text}: describes no packets ({error}); write {wanted}") from error
    return (LossyPackets(_load(checkpoint), mtu, redundancy, loss, seed),)


def name_lossy(checkpoint: str, mtu_bytes: int, redundancy: float, loss: float, seed: int) -> str:
    """Return the text of a checkpoint's packets of which some are lost."""
    return f"{checkpoint}?mtu={mtu_bytes}&redundancy={redundancy}&loss={loss}&seed={seed}"


def name_received(checkpoint: str, packets: Sequence[bytes]) -> str:
    """Return the text of packets of a checkpoint that arrived."""
    return f"{checkpoint}?received={base64.urlsafe_b64encode(pack_packets(packets)).decode()}"


def fit_tables(text: str, sets: Sequence[PictureSet], fit: Fit, cache: Path) -> str:
    """Return a codec's text with the Huffman tables that it lacks, fitted once and kept.

    Args:
        text: Any codec; only the published one needs something.
        sets: Pictures to fit to, none of which is reported on.
        fit: How they are made square.
        cache: Folder for the tables.

    Raises:
        ConfigError: There are no pictures.
        CheckpointError: No such checkpoint.
        ImageError: A picture cannot be read.
    """
    if not _is_published(text):
        return text
    source, tables = _split_published(text)
    network = _open_network(source)
    if tables or network.huffman_lengths is not None:
        return text
    pictures = [picture for part in sets for picture in part.pictures[:TABLE_PICTURES]]
    keys = " ".join([network.fingerprint, fit, *(picture.key for picture in pictures)])
    path = cache / f"huffman-{hashlib.sha256(keys.encode()).hexdigest()[:16]}.json"
    if not path.is_file():
        write_tables(path, fit_codes(network.encode(p.load(fit)) for p in pictures))
    return f"{PUBLISHED}={source}{_TABLES}{path}"


@lru_cache(maxsize=8)
def _load(checkpoint: str) -> Codec:
    return Codec.load(checkpoint)


@lru_cache(maxsize=4)
def _open_network(source: str) -> Network:
    return open_network(source)


def _is_published(text: str) -> bool:
    return text.partition("=")[0] == PUBLISHED


def _split_published(text: str) -> tuple[str, str]:
    """Return the source of the network, and the path of the tables if the text has one."""
    source, _, tables = text.partition("=")[2].partition(_TABLES)
    return source or "rtss23", tables
