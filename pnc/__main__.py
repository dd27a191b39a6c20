"""``python -m pnc``: the same as the ``pnc`` command."""

from pnc.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
