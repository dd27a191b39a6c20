"""Setting a device up over ssh, and keeping it: releases that are switched whole or not at all.

On the device, below one folder (``~/pnc-device``)::

    store/SHA256             every file that was sent, once
    releases/N/              virtual environment, checkpoint, start script
    releases/N/release.json  written last: the release is complete
    releases/N/confirmed     it has run
    current -> releases/N    switched in one step
    run/health.sock          how the running device is

Whatever is cut off leaves a release without ``release.json``, which the next run removes, and files
in the store, which it does not send again.
"""
