"""Bytes <-> the other side, before the deadline: sans-I/O sessions, and links that carry them."""
