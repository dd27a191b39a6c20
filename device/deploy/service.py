"""The files that make a device a service of its system."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["service_unit", "udev_rule"]

_DEVICES = (
    "char-ttyACM",
    "char-ttyUSB",
    "char-ttyAMA",
    "char-ttyS",
    "char-video4linux",
)
"""What a device opens besides a Raspberry Pi's own camera: serial ports and cameras."""

_RADIOS = {
    "1915": "Nordic Semiconductor",
    "1366": "SEGGER, on Nordic's development kits",
    "239a": "Adafruit, and CircuitPython on other boards",
    "2886": "Seeed Studio",
}
"""Vendors of boards with an nRF52840, by USB vendor."""


def service_unit(folder: str, user: str, groups: Sequence[str], *, pi_camera: bool) -> str:
    """Return the unit of systemd.

    Args:
        folder: Where the releases lie.
        user: Whom the service runs as.
        groups: Groups that exist there and that open its devices.
        pi_camera: Whether it uses a Raspberry Pi's own camera, whose library opens a dozen kinds
            of devices: those are then not listed one by one.
    """
    devices = ["DevicePolicy=closed", *(f"DeviceAllow={device} rw" for device in _DEVICES)]
    lines = [
        "# Written by `pnc device deploy`; changes are overwritten.",
        "[Unit]",
        "Description=PNC device: pictures that arrive in time",
        "After=network.target bluetooth.target",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=notify",
        f"ExecStart={folder}/current/start",
        f"User={user}",
        *([f"SupplementaryGroups={' '.join(groups)}"] if groups else []),
        f"WorkingDirectory={folder}/run",
        "Environment=PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1",
        "Restart=always",
        "RestartSec=2",
        "TimeoutStartSec=60",
        "WatchdogSec=60",
        "Nice=-5",
        "MemoryMax=400M",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=read-only",
        f"ReadWritePaths={folder}/run",
        "PrivateTmp=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectKernelLogs=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelTunables=yes",
        "ProtectControlGroups=yes",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_BLUETOOTH",
        "RestrictNamespaces=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "UMask=0027",
        *([] if pi_camera else devices),
        "",
        "[Install]",
        "WantedBy=multi-user.target",
    ]
    return "\n".join(lines) + "\n"


def udev_rule() -> str:
    """Return the rule for radios: a name that stays, and no modem program that talks to them."""
    lines = ["# Written by `pnc device deploy`; changes are overwritten."]
    for vendor, name in _RADIOS.items():
        lines += [
            f"# {name}",
            f'SUBSYSTEM=="tty", ATTRS{{idVendor}}=="{vendor}", GROUP="dialout", MODE="0660", '
            'SYMLINK+="pnc-radio%E{ID_USB_INTERFACE_NUM}", ENV{ID_MM_DEVICE_IGNORE}="1", '
            'TAG+="systemd"',
        ]
    return "\n".join(lines) + "\n"
