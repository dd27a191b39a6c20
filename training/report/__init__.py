"""The report of ``pnc train all``: what was found, as JSON and as one page for people."""
