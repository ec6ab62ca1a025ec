"""A device driver and an emulated device, without ROS.

The emulator is an Inspire hand on a serial port that speaks the vendor's frames; the driver is the
one of the real hand. With a real one leave the emulator out and let PORT be where it is plugged in,
such as /dev/ttyUSB0.

Prints the joints [rad] while four fingers close, with the time of each round trip; what the driver
says when the plug is pulled; and where the hand is when it is back. Rigs are driven by `xlvla run`,
whose nodes limit speed and acceleration: a bare driver sends what it is given.
"""

import time
from pathlib import Path

import numpy as np

from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators.inspire import Emulator
from xlvla_drivers.hands.inspire import Driver, Options

PORT = Path("emulated_right_hand")
PERIOD_S = 0.1


def close_fingers(hand: Driver) -> None:
    target = dict(zip(hand.joints, hand.read().position, strict=True))
    for angle in np.linspace(0.0, 1.0, 11):
        target |= dict.fromkeys(hand.joints[2:], float(angle))
        began = time.monotonic()
        hand.write(target)
        position = hand.read().position
        took_s = time.monotonic() - began
        print(f"{np.round(position, 2)}  {1000 * took_s:.1f} ms")
        time.sleep(max(0.0, PERIOD_S - took_s))


def main() -> None:
    emulator = Emulator(str(PORT), "right", Options())
    emulator.start()
    hand = Driver(str(PORT), "right", Options())
    hand.connect()
    close_fingers(hand)

    emulator.inject("unplug")
    try:
        hand.read()
    except LinkLost as error:
        print(f"unplugged: {error}")
    emulator.inject("unplug", on=False)
    while not PORT.exists():
        time.sleep(0.01)
    hand.connect()
    print(f"back at {np.round(hand.read().position, 2)}")
    hand.disconnect()
    emulator.stop()


if __name__ == "__main__":
    main()
