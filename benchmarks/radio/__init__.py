"""A virtual Bluetooth radio: bumble's devices under the real bleak links, in virtual time.

    virtual_time.run(...)   an asyncio loop whose time jumps
    world.World             a radio, and devices in its reach
    controller              what the air costs: events, air time, losses, supervision
    bleak_backend           bleak on a device of bumble

Needs the extra ``ble``; the tests of the Bluetooth links use it, too.
"""
