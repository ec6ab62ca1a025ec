"""Which command was in force when."""

from __future__ import annotations

import numpy as np

from xlvla_policy.history import SECOND, History

HOME = np.array([0.5, -0.5])


def ramp(history: History, count: int) -> None:
    """Commands 10 ms apart whose number is their value."""
    for k in range(count):
        history.add(k * SECOND // 100, np.full(2, float(k)))


def test_the_last_frame_is_the_command_in_force_at_the_stamp():
    history = History(3.2)
    ramp(history, 500)
    executed = history.as_of(400 * SECOND // 100 + 3_000_000, 64, 20.0, HOME)
    assert executed[:, 0].tolist() == [400 - 5 * (63 - k) for k in range(64)]


def test_a_command_after_the_stamp_is_not_seen():
    history = History(3.2)
    ramp(history, 100)
    assert history.as_of(50 * SECOND // 100 - 1, 4, 20.0, HOME)[-1, 0] == 49


def test_without_a_command_the_robot_stood_at_its_measured_pose():
    assert (History(3.2).as_of(SECOND, 64, 20.0, HOME) == HOME).all()


def test_before_its_first_command_the_robot_stood_where_that_command_starts():
    history = History(3.2)
    history.add(SECOND, np.array([1.0, 2.0]))
    assert (history.as_of(SECOND + 1, 64, 20.0, HOME) == [1.0, 2.0]).all()


def test_a_command_out_of_order_is_dropped():
    history = History(3.2)
    history.add(SECOND, np.array([1.0, 1.0]))
    history.add(SECOND // 2, np.array([9.0, 9.0]))
    assert (history.as_of(2 * SECOND, 8, 20.0, HOME) == 1.0).all()


def test_the_history_does_not_grow_without_end():
    history = History(3.2)
    ramp(history, 5000)
    assert len(history) < 600
    assert history.as_of(4999 * SECOND // 100, 64, 20.0, HOME)[0, 0] == 4999 - 5 * 63
