"""Bluetooth controllers of bumble on an air that costs time.

bumble's own ``LocalLink`` delivers at once, knows no loss and no supervision time-out, and answers
from the sender's present random address, which a host may change while it is connected. Here data
goes in connection events: central and peripheral take turns, a failed exchange ends the event and
is repeated in the next one, and buffers are given back to the hosts when the packets are through.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass, replace

from bumble import hci, ll
from bumble.controller import Connection, Controller
from bumble.core import PhysicalTransport
from bumble.link import LocalLink
from bumble.transport.common import Transport

T_IFS_S = 150e-6
"""Pause between two packets (Core 5.4, Vol 6, Part B, 4.1.1)."""


@dataclass(frozen=True)
class RadioConfig:
    """What the air is like."""

    interval_s: float = 0.03
    """Connection interval, seconds; whatever hosts ask for, the central grants this."""
    packets_per_event: int = 2
    """Exchanges that a controller finds time for in one connection event."""
    bits_per_s: float = 2e6
    """Physical rate: 1 or 2 Mbit/s."""
    data_length: int = 251
    """Bytes of one packet of the link layer; 27 without data length extension."""
    buffers: int = 8
    """Packets that a controller holds."""
    loss: float = 0.0
    """Probability that an exchange, a packet and its answer, fails."""
    supervision_timeout_s: float = 2.0
    """Silence after which both ends give a connection up, seconds."""
    seed: int = 0
    """Seed of the losses."""

    def airtime_s(self, num_bytes: int) -> float:
        """Time of one packet and the pause after it, seconds."""
        preamble = 2 if self.bits_per_s > 1e6 else 1
        return 8 * (preamble + 4 + 2 + num_bytes + 3) / self.bits_per_s + T_IFS_S


@dataclass(frozen=True)
class End:
    """One end of a connection."""

    controller: RadioController
    connection: Connection

    @property
    def open(self) -> bool:
        """Whether the controller still has the connection."""
        return self.connection in self.controller.le_connections.values()

    @property
    def packets(self) -> deque[hci.HCI_AclDataPacket]:
        """What waits for the air."""
        return self.controller.waiting.setdefault(self.connection.handle, deque())


class Radio(LocalLink):
    """The air between controllers."""

    def __init__(self, config: RadioConfig | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.config = config or RadioConfig()
        self.jammed = False
        """While set, nothing gets through, not even a farewell."""
        self.packets = 0
        """Data packets of the link layer that got through."""
        self.failures = 0
        """Exchanges that failed."""
        self.possible = 0
        """Exchanges that would have got through, had there always been something to say."""
        self._random = random.Random(self.config.seed)
        self._tasks: set[asyncio.Task[None]] = set()

    def open(self, central: RadioController, connection: Connection) -> None:
        """Begin the connection events of a new connection."""
        task = asyncio.get_running_loop().create_task(self._run(End(central, connection)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def send_advertising_pdu(self, sender_controller: Controller, packet: object) -> None:
        """Let everybody hear an advertisement."""
        if self.jammed:
            return
        if isinstance(packet, ll.AdvInd):
            # bumble's controllers never answer a scan request: say everything at once.
            more = sender_controller.le_legacy_advertiser.scan_response_data
            packet = replace(packet, data=packet.data + more)
        assert isinstance(packet, ll.AdvertisingPdu)
        super().send_advertising_pdu(sender_controller, packet)

    def send_ll_control_pdu(
        self, sender_address: hci.Address, receiver_address: hci.Address, packet: ll.ControlPdu
    ) -> None:
        """Deliver what controllers tell each other, unless the air is jammed."""
        if not self.jammed:
            super().send_ll_control_pdu(sender_address, receiver_address, packet)

    def send_acl_data(
        self,
        sender_controller: Controller,
        destination_address: hci.Address,
        transport: PhysicalTransport,
        data: bytes,
    ) -> None:
        """Deliver data that an event has carried."""
        receiver = self.find_le_controller(destination_address)
        connection = sender_controller.le_connections.get(destination_address)
        if receiver is not None and connection is not None:
            receiver.on_link_acl_data(connection.self_address, transport, data)

    async def _run(self, central: End) -> None:
        loop = asyncio.get_running_loop()
        interval_s = self.config.interval_s
        start_s = heard_s = loop.time()
        receiver = self.find_le_controller(central.connection.peer_address)
        assert isinstance(receiver, RadioController)
        peripheral: End | None = None
        event = 0
        while True:
            event += 1
            await asyncio.sleep(start_s + event * interval_s - loop.time())
            if peripheral is None:
                other = receiver.le_connections.get(central.connection.self_address)
                peripheral = End(receiver, other) if other is not None else None
            ends = [end for end in (central, peripheral) if end is not None and end.open]
            if len(ends) == 2 and await self._exchange(ends):
                heard_s = loop.time()
            if not ends:
                return
            if loop.time() - heard_s >= self.config.supervision_timeout_s:
                for end in ends:
                    if end.open:
                        end.controller.on_le_disconnected(
                            end.connection, hci.HCI_CONNECTION_TIMEOUT_ERROR
                        )
                return

    async def _exchange(self, ends: list[End]) -> bool:
        """Run one connection event; return whether the two heard each other."""
        left_s = self.config.interval_s - T_IFS_S
        heard = False
        num_good = self._draw_good()
        for turn in range(self.config.packets_per_event):
            heads = [end.packets[0] if end.packets else None for end in ends]
            if turn and not any(heads):
                break
            airtime_s = sum(
                self.config.airtime_s(head.data_total_length if head else 0) for head in heads
            )
            if airtime_s > left_s:
                break
            left_s -= airtime_s
            await asyncio.sleep(airtime_s)
            if self.jammed or not all(end.open for end in ends):
                break
            if turn == num_good:
                self.failures += 1
                break
            heard = True
            for end, head in zip(ends, heads, strict=True):
                if head is not None:
                    end.packets.popleft()
                    self.packets += 1
                    end.controller.pass_on(head)
        return heard

    def _draw_good(self) -> int:
        """Draw how many exchanges of an event succeed before one fails, whatever is said."""
        most = self.config.packets_per_event
        lost = (turn for turn in range(most) if self._random.random() < self.config.loss)
        num_good = next(lost, most)
        self.possible += num_good
        return num_good


class RadioController(Controller):
    """A controller without extended advertising whose data waits for connection events."""

    le_features = Controller.le_features & ~(
        hci.LeFeatureMask.LE_EXTENDED_ADVERTISING | hci.LeFeatureMask.LL_PRIVACY
    )

    def __init__(self, name: str, radio: Radio, host: Transport | None = None) -> None:
        source, sink = (host.source, host.sink) if host else (None, None)
        super().__init__(name, host_source=source, host_sink=sink, link=radio)
        self.radio = radio
        self.waiting: dict[int, deque[hci.HCI_AclDataPacket]] = {}
        """Packets of each connection that wait for the air, by handle."""
        self.refuses_updates = False
        """Whether it knows no connection updates, as before Bluetooth 4.1 for peripherals."""
        self.le_acl_data_packet_length = radio.config.data_length
        self.total_num_le_acl_data_packets = radio.config.buffers

    def create_le_connection(self, peer_address: hci.Address) -> None:
        """Begin a connection and its events."""
        super().create_le_connection(peer_address)
        self.radio.open(self, self.le_connections[peer_address])

    def on_le_disconnected(self, connection: Connection, reason: int) -> None:
        """Forget a connection and what waits on it."""
        super().on_le_disconnected(connection, reason)
        self.waiting.pop(connection.handle, None)

    def on_hci_acl_data_packet(self, packet: hci.HCI_AclDataPacket) -> None:
        """Take a packet from the host; it waits for the air."""
        self.waiting.setdefault(packet.connection_handle, deque()).append(packet)

    def on_hci_le_connection_update_command(
        self, command: hci.HCI_LE_Connection_Update_Command
    ) -> None:
        """Grant another interval, or know of no such thing."""
        if self.refuses_updates:
            refusal = hci.HCI_ErrorCode.UNSUPPORTED_REMOTE_FEATURE_ERROR
            self._send_hci_command_status(refusal, command.op_code)
        else:
            super().on_hci_le_connection_update_command(command)

    def on_hci_le_set_data_length_command(
        self, command: hci.HCI_LE_Set_Data_Length_Command
    ) -> hci.HCI_StatusAndConnectionHandleReturnParameters:
        """Grant data length extension: the air decides what a packet holds."""
        return hci.HCI_StatusAndConnectionHandleReturnParameters(
            status=hci.HCI_ErrorCode.SUCCESS, connection_handle=command.connection_handle
        )

    def on_hci_le_set_phy_command(self, command: hci.HCI_LE_Set_PHY_Command) -> None:
        """Grant the physical rate of the air."""
        self._send_hci_command_status(hci.HCI_COMMAND_STATUS_PENDING, command.op_code)
        phy = hci.Phy.LE_2M if self.radio.config.bits_per_s > 1e6 else hci.Phy.LE_1M
        self.send_hci_packet(
            hci.HCI_LE_PHY_Update_Complete_Event(
                status=hci.HCI_ErrorCode.SUCCESS,
                connection_handle=command.connection_handle,
                tx_phy=phy,
                rx_phy=phy,
            )
        )

    def pass_on(self, packet: hci.HCI_AclDataPacket) -> None:
        """Deliver a packet to the peer and give its buffer back to the host."""
        super().on_hci_acl_data_packet(packet)
