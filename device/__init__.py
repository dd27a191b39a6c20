"""The device: takes pictures, encodes them, and sends what the link carries in time."""
