# SPDX-License-Identifier: Apache-2.0
"""A bridge for bytes: the second USB serial port <-> the Nordic UART Service of Bluetooth LE.

``settings.toml`` on the board says which side it is and by which name the sides find each other::

    PNC_ROLE = "peripheral"    # is found, or: central, finds and connects
    PNC_NAME = "pnc-bridge"    # own name of a peripheral; the name a central looks for
    PNC_CONSOLE = 1            # 0: no console, the data port is the only one

What travels is none of its business: framing, checksums and the window that holds the sender back
run from end to end (``docs/wire.md``). Towards the radio it stops reading USB while the radio is
busy, so USB holds the host back. Towards the host nothing can hold the radio back: what finds no
room is dropped, counted, and the stream goes on with a whole frame. While there is no radio link,
or no program has the port open, bytes for it are dropped, so that nothing old comes out later.
"""

import gc
import os
import time
import traceback

import _bleio
import board
import digitalio
import microcontroller
import supervisor
import usb_cdc
import watchdog
from bridge_core import (
    COUNT_MASK,
    CountLine,
    Light,
    Pipe,
    advertisement,
    advertises,
    ticks_since,
)

PACKET_BYTES = 244
"""Written to the radio at once: with its headers one link-layer packet of 251 bytes."""

ATTRIBUTE_BYTES = 512
"""Longest value of an attribute: what a peer may write at once."""

UP_DEPTH = 2
"""Reads from USB that wait for the radio. Few: what waits here is beyond recall."""

DOWN_DEPTH = 8
"""Packets that wait for the host: 4 KiB."""

RADIO_DEPTH = 8
"""Packets that CircuitPython itself keeps while a round of the loop lasts."""

INTERVAL_MS = 7.5
"""The connection interval asked for: one packet is on its way each. The other side may refuse."""

SCAN_S = 1
CONNECT_S = 5
SILENT_PEER_MS = 10_000
"""A central that has connected and does not subscribe in this time is sent away."""

WATCHDOG_S = 12
"""Longer than connecting takes at most."""

DROP_READS = 100
"""Reads of at most PACKET_BYTES that are dropped in a row while there is no link."""

TELL_MS = 1000
"""Between two lines of counts."""

RESTART_S = 2
"""Before the program starts anew after an error, so that the message can be read."""

FLAGS, WHOLE_UUID, SHORT_NAME, WHOLE_NAME = 0x01, 0x07, 0x08, 0x09
LE_ONLY = b"\x06"
MAX_NAME_BYTES = 29

SERVICE = _bleio.UUID("6E400001-B5A3-F393-E0A9-E50E24DCCA9E")
TO_PERIPHERAL = _bleio.UUID("6E400002-B5A3-F393-E0A9-E50E24DCCA9E")
TO_CENTRAL = _bleio.UUID("6E400003-B5A3-F393-E0A9-E50E24DCCA9E")

LIT_WHEN_LOW = ("pca10056", "pca10059", "Seeed_XIAO_nRF52840_Sense")
COUNTS = ("linked", "host", "up", "up_lost", "down", "down_lost", "unheard", "memory")


class Peripheral:
    """The side that is found."""

    def __init__(self, name: bytes) -> None:
        self._adapter = _bleio.adapter
        service = _bleio.Service(SERVICE)
        add = _bleio.Characteristic.add_to_service
        write = _bleio.Characteristic.WRITE | _bleio.Characteristic.WRITE_NO_RESPONSE
        incoming = add(service, TO_PERIPHERAL, properties=write, max_length=ATTRIBUTE_BYTES)
        self._notified = add(
            service,
            TO_CENTRAL,
            properties=_bleio.Characteristic.NOTIFY,
            max_length=ATTRIBUTE_BYTES,
        )
        self._in = open_packets(incoming, RADIO_DEPTH, ATTRIBUTE_BYTES)
        self._out = open_packets(self._notified, 1, PACKET_BYTES)
        self._advertised = advertisement(FLAGS, LE_ONLY) + advertisement(WHOLE_UUID, le(SERVICE))
        self._response = advertisement(WHOLE_NAME, name)
        self._silent_since = -1

    def limit(self) -> int:
        """Most bytes of one write; 0 or less while no peer listens."""
        return int(self._out.outgoing_packet_length)

    def search(self, now: int) -> None:
        """Be found; returns at once."""
        if not self._adapter.connected:
            self._silent_since = -1
            if not self._adapter.advertising:
                self._adapter.start_advertising(self._advertised, scan_response=self._response)
        elif self._silent_since < 0:
            self._silent_since = now
        elif ticks_since(self._silent_since, now) > SILENT_PEER_MS:
            self._silent_since = -1
            for connection in self._adapter.connections:
                connection.disconnect()

    def greet(self) -> None:
        """Begin with a peer.

        The zero goes out beside the packet buffer: if the link before went away in the middle of a
        packet, the buffer waits for a notification to be done, of whatever characteristic.
        """
        self._silent_since = -1
        self._notified.value = bytearray(1)
        for connection in self._adapter.connections:
            ask_for_interval(connection)

    def read(self, view: memoryview) -> int:
        """Take one packet of the peer; 0: there is none. A longer one than ``view`` is dropped."""
        return int(self._in.readinto(view))

    def write(self, view: memoryview) -> int:
        """Hand over at most ``limit()`` bytes, waiting for the packet before; -1: the peer went."""
        return int(self._out.write(view))


class Central:
    """The side that looks for a peripheral by its name and connects."""

    def __init__(self, name: bytes) -> None:
        self._adapter = _bleio.adapter
        self._name = name
        self._connection: _bleio.Connection | None = None
        self._in: _bleio.PacketBuffer | None = None
        self._out: _bleio.PacketBuffer | None = None

    def limit(self) -> int:
        """Most bytes of one write; 0 while there is no peer."""
        if self._connection is None or self._out is None or not self._connection.connected:
            return 0
        return int(self._out.outgoing_packet_length)

    def search(self, _now: int) -> None:
        """Scan for a second, and connect if the peer was there; takes up to seven."""
        self._forget()
        address = self._find()
        if address is None:
            return
        try:
            self._connection = self._adapter.connect(address, timeout=CONNECT_S)
            for service in self._connection.discover_remote_services((SERVICE,)):
                for characteristic in service.characteristics:
                    if characteristic.uuid == TO_CENTRAL:
                        self._in = open_packets(characteristic, RADIO_DEPTH, ATTRIBUTE_BYTES)
                    elif characteristic.uuid == TO_PERIPHERAL:
                        self._out = open_packets(characteristic, 1, PACKET_BYTES)
        except (_bleio.BluetoothError, ConnectionError, TimeoutError):
            self._forget()
        if self._in is None or self._out is None:
            self._forget()

    def greet(self) -> None:
        """Begin with a peer."""
        if self._connection is not None:
            ask_for_interval(self._connection)

    def read(self, view: memoryview) -> int:
        """Take one packet of the peer; 0: there is none. A longer one than ``view`` is dropped."""
        return 0 if self._in is None else int(self._in.readinto(view))

    def write(self, view: memoryview) -> int:
        """Hand over at most ``limit()`` bytes, waiting for the packet before; -1: the peer went."""
        return -1 if self._out is None else int(self._out.write(view))

    def _find(self) -> "_bleio.Address | None":
        found = None
        for entry in self._adapter.start_scan(timeout=SCAN_S, minimum_rssi=-100):
            if advertises(entry.advertisement_bytes, (SHORT_NAME, WHOLE_NAME), self._name):
                found = entry.address
                break
        self._adapter.stop_scan()
        return found

    def _forget(self) -> None:
        for packets in (self._in, self._out):
            if packets is not None:
                packets.deinit()
        if self._connection is not None:
            self._connection.disconnect()
        self._connection = self._in = self._out = None


class Led:
    """The board's light, or none."""

    def __init__(self) -> None:
        pin = getattr(board, "LED1", None) or getattr(board, "LED", None)
        self._low = board.board_id in LIT_WHEN_LOW
        self._on = False
        try:
            self._out = None if pin is None else digitalio.DigitalInOut(pin)
        except ValueError:
            self._out = None
        if self._out is not None:
            self._out.switch_to_output(value=self._low)

    def show(self, on: bool) -> None:
        """Turn it on or off."""
        if self._out is not None and on != self._on:
            self._on = on
            self._out.value = on != self._low


class Bridge:
    """Both directions, the light and the line of counts; :meth:`round` is called for ever.

    Args:
        role: ``peripheral`` or ``central``.
        name: Own name of a peripheral; the name a central looks for.
    """

    def __init__(self, role: str, name: str) -> None:
        if role not in ("peripheral", "central"):
            raise ValueError("PNC_ROLE in settings.toml is neither peripheral nor central: " + role)
        if not 0 < len(name.encode()) <= MAX_NAME_BYTES:
            raise ValueError("PNC_NAME in settings.toml is not 1 to 29 bytes long: " + name)
        if usb_cdc.data is None:
            raise RuntimeError("no second serial port: copy boot.py too, then reset the board")
        self.up = Pipe(PACKET_BYTES, UP_DEPTH)
        self.down = Pipe(ATTRIBUTE_BYTES, DOWN_DEPTH)
        self._usb = usb_cdc.data
        self._usb.timeout = 0
        self._usb.write_timeout = 0
        self._console = usb_cdc.console
        if self._console is not None:
            self._console.write_timeout = 0
        self._radio = Peripheral(name.encode()) if role == "peripheral" else Central(name.encode())
        self._led = Led()
        self._light = Light()
        self._counts = CountLine("pnc-bridge 1 " + role, COUNTS)
        self._told_at = supervisor.ticks_ms()

    def round(self) -> None:
        """Move at most one packet each way. Allocates nothing while the link stands."""
        now = supervisor.ticks_ms()
        self._follow_radio(now)
        self._follow_host()
        up, down = self.up, self.down
        if up.has_room():
            up.took(self._usb.readinto(up.inlet()))
        waiting = up.outlet()
        if waiting is not None:
            up.gave(self._radio.write(waiting))
        down.took(self._radio.read(down.inlet()))
        waiting = down.outlet()
        if waiting is not None:
            down.gave(self._usb.write(waiting))
        linked, hosted = up.limit > 0, down.limit > 0
        lost = up.lost + down.lost
        self._led.show(self._light.lit(now, linked, hosted, up.moved + down.moved, lost))
        if ticks_since(self._told_at, now) >= TELL_MS:
            self._told_at = now
            self._tell(linked, hosted)

    def _follow_radio(self, now: int) -> None:
        limit = self._radio.limit()
        if limit <= 0:
            if self.up.limit:
                self.up.close()
            self._drop_usb()
            self._radio.search(now)
        elif limit != self.up.limit:
            if self.up.limit == 0:
                self._drop_usb()
                self._radio.greet()
            self.up.open(limit)

    def _drop_usb(self) -> None:
        """Drop what the host has sent to nobody, its own buffers' worth too, but not for ever."""
        for _ in range(DROP_READS):
            length = self._usb.readinto(self.up.inlet())
            if not length:
                break
            self.up.took(length)

    def _follow_host(self) -> None:
        if not self._usb.connected:
            if self.down.limit:
                self.down.close()
        elif self.down.limit == 0:
            self.down.open(ATTRIBUTE_BYTES)

    def _tell(self, linked: bool, hosted: bool) -> None:
        """Write the counts to the console, never waiting: the data port carries nothing else."""
        console, counts, up, down = self._console, self._counts, self.up, self.down
        if console is None or not console.connected or console.out_waiting:
            return
        counts.put(0, int(linked))
        counts.put(1, int(hosted))
        counts.put(2, up.moved)
        counts.put(3, up.lost)
        counts.put(4, down.moved)
        counts.put(5, down.lost)
        counts.put(6, (up.unheard + down.unheard) & COUNT_MASK)
        counts.put(7, memory_used())
        console.write(counts.line)


def open_packets(
    characteristic: "_bleio.Characteristic", depth: int, size: int
) -> "_bleio.PacketBuffer":
    """Read or write packets of a characteristic; one of a peer is subscribed to by this."""
    return _bleio.PacketBuffer(characteristic, buffer_size=depth, max_packet_size=size)


def ask_for_interval(connection: "_bleio.Connection") -> None:
    """Ask for a short connection interval; the link works with whatever it gets."""
    try:  # noqa: SIM105 - CircuitPython has no contextlib
        connection.connection_interval = INTERVAL_MS
    except (_bleio.BluetoothError, NotImplementedError, ValueError):
        pass


def memory_used() -> int:
    """Bytes of the heap in use: the same in every line, as the loop allocates nothing."""
    return int(gc.mem_alloc())  # type: ignore[attr-defined]


def le(uuid: "_bleio.UUID") -> bytes:
    """The 16 bytes of a UUID as they are advertised."""
    data = bytearray(16)
    uuid.pack_into(data)
    return bytes(data)


def main() -> None:
    """Be a bridge until the power goes; after an error, begin anew."""
    supervisor.runtime.autoreload = False
    try:
        _bleio.adapter.enabled = True
        bridge = Bridge(
            os.getenv("PNC_ROLE") or "peripheral",
            os.getenv("PNC_NAME") or "pnc-bridge",
        )
        guard = microcontroller.watchdog
        if guard is not None:
            guard.timeout = WATCHDOG_S
            guard.mode = watchdog.WatchDogMode.RAISE
        gc.collect()
        while True:
            if guard is not None:
                guard.feed()
            bridge.round()
    except Exception as error:  # noqa: BLE001 - the top: whatever it was, a fresh start is the cure
        traceback.print_exception(error)
        time.sleep(RESTART_S)
        supervisor.reload()


if __name__ == "__main__":
    main()
