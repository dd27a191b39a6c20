# SPDX-License-Identifier: Apache-2.0
"""Before USB comes up: a second serial port for data, nothing that could be in its way."""

import os

import supervisor
import usb_cdc
import usb_hid
import usb_midi

usb_cdc.enable(console=str(os.getenv("PNC_CONSOLE")) != "0", data=True)
usb_hid.disable()
usb_midi.disable()
supervisor.runtime.ble_workflow = False
supervisor.set_usb_identification("PNC", "PNC bridge")
