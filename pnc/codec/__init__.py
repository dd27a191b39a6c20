"""Picture <-> bytes: a stream that is useful at every byte. Start at :class:`pnc.Codec`."""
