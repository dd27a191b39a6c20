"""A backend of bleak whose adapter is a device of bumble: real GATT, ATT, L2CAP and HCI."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bleak.args import SizedBuffer
from bleak.backends.adapter import BaseBleakAdapter
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakError
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Advertisement, Connection, Device, Peer
from bumble.gatt import Characteristic
from bumble.hci import Address

from pnc.transport.links.ble import Bluetooth

Notify = Callable[[bytearray], None]


def uuid_text(uuid: UUID) -> str:
    """Write a UUID as bleak does."""
    if len(uuid.uuid_bytes) == 16:
        return uuid.to_hex_str("-").lower()
    return f"0000{uuid.to_hex_str().lower()}-0000-1000-8000-00805f9b34fb"


def address_text(address: Address) -> str:
    """Write an address as bleak does."""
    return str(address).split("/")[0]


def bluetooth_of(device: Device, *, mtu: int = 517) -> Bluetooth:
    """Return what makes bleak use this device, which is powered on.

    Args:
        device: Of bumble, on a virtual or a real controller.
        mtu: Largest MTU to ask a peer for.
    """

    class Scanner(BaseBleakScanner):
        def __init__(self, callback: Any, uuids: Any, mode: str, **_: Any) -> None:
            super().__init__(callback, uuids)

        async def start(self) -> None:
            self.seen_devices = {}
            device.on("advertisement", self._on_advertisement)
            await device.start_scanning(filter_duplicates=False)

        async def stop(self) -> None:
            await device.stop_scanning()
            device.remove_listener("advertisement", self._on_advertisement)

        def _on_advertisement(self, heard: Advertisement) -> None:
            name = heard.data.get(AdvertisingData.Type.COMPLETE_LOCAL_NAME)
            assert name is None or isinstance(name, str)
            data = AdvertisementData(name, {}, {}, [], None, heard.rssi, ())
            text = address_text(heard.address)
            found = self.create_or_update_device(text, text, name, heard.address, data)
            self.call_detection_callbacks(found, data)

    class Client(BaseBleakClient):
        def __init__(self, address_or_ble_device: BLEDevice | str, **options: Any) -> None:
            super().__init__(address_or_ble_device, **options)
            assert isinstance(address_or_ble_device, BLEDevice)
            self._peer_address: Address = address_or_ble_device.details
            self._connection: Connection | None = None
            self._peer: Peer | None = None

        @property
        def mtu_size(self) -> int:
            return self._connection.att_mtu if self._connection else 23

        @property
        def is_connected(self) -> bool:
            return self._connection is not None

        async def connect(self, pair: bool, **_: Any) -> None:
            known = [
                connection
                for connection in device.connections.values()
                if connection.peer_address == self._peer_address
            ]
            try:
                connection = known[0] if known else await device.connect(self._peer_address)
                connection.on("disconnection", self._on_disconnection)
                self._connection = connection
                self._peer = Peer(connection)
                if mtu > 23 and connection.att_mtu == 23:
                    await self._peer.request_mtu(mtu)
                await self._discover(self._peer)
            except BaseBumbleError as error:
                raise BleakError(str(error)) from error

        async def _discover(self, peer: Peer) -> None:
            collection = BleakGATTServiceCollection()
            for service in await peer.discover_services():
                entry = BleakGATTService(service, service.handle, uuid_text(service.uuid))
                collection.add_service(entry)
                for found in await service.discover_characteristics():
                    properties: list[Any] = [
                        str(flag.name).lower().replace("_", "-")
                        for flag in Characteristic.Properties
                        if found.properties & flag
                    ]
                    characteristic = BleakGATTCharacteristic(
                        found,
                        found.handle,
                        uuid_text(found.uuid),
                        properties,
                        lambda: self.mtu_size - 3,
                        entry,
                    )
                    collection.add_characteristic(characteristic)
                    for item in await found.discover_descriptors():
                        collection.add_descriptor(
                            BleakGATTDescriptor(
                                item, item.handle, uuid_text(item.type), characteristic
                            )
                        )
            self.services = collection

        def _on_disconnection(self, _: int) -> None:
            self._connection = self._peer = None
            if self._disconnected_callback is not None:
                self._disconnected_callback()

        async def disconnect(self) -> None:
            if self._connection is not None:
                await self._connection.disconnect()

        async def pair(self, *_: Any, **__: Any) -> None:
            raise NotImplementedError

        async def unpair(self) -> None:
            raise NotImplementedError

        def _check_connected(self) -> None:
            if self._connection is None:
                raise BleakError("Not connected")

        async def read_gatt_char(
            self, characteristic: BleakGATTCharacteristic, *, use_cached: bool = False, **_: Any
        ) -> bytearray:
            self._check_connected()
            return bytearray(await characteristic.obj.read_value())

        async def read_gatt_descriptor(
            self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_: Any
        ) -> bytearray:
            self._check_connected()
            return bytearray(await descriptor.obj.read_value())

        async def write_gatt_char(
            self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
        ) -> None:
            self._check_connected()
            assert len(data) <= min(self.mtu_size - 3, 512), "a real radio drops this silently"
            await characteristic.obj.write_value(bytes(data), with_response=response)

        async def write_gatt_descriptor(
            self, descriptor: BleakGATTDescriptor, data: SizedBuffer
        ) -> None:
            self._check_connected()
            await descriptor.obj.write_value(bytes(data), with_response=True)

        async def start_notify(
            self, characteristic: BleakGATTCharacteristic, callback: Notify, **_: Any
        ) -> None:
            self._check_connected()
            await characteristic.obj.subscribe(lambda value: callback(bytearray(value)))

        async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
            self._check_connected()
            await characteristic.obj.unsubscribe()

    class Adapter(BaseBleakAdapter):
        @classmethod
        async def get(cls, **_: Any) -> Adapter:
            return cls()

        async def get_connected_devices(self, service_uuids: frozenset[str]) -> list[BLEDevice]:
            return [
                BLEDevice(address_text(connection.peer_address), None, connection.peer_address)
                for connection in device.connections.values()
            ]

    return Bluetooth(Scanner, Client, Adapter)
