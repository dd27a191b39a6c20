"""The same sessions on a virtual clock: traces, worlds, simulation, metrics."""
