"""What all tests share."""

from __future__ import annotations

import signal

# A shell that starts a job in the background has it ignore SIGINT, and children inherit that; tests
# press Ctrl-C themselves.
signal.signal(signal.SIGINT, signal.default_int_handler)
