"""The world of xlvla: simulated rigs, tasks and scripted experts."""

import os

os.environ.setdefault("MUJOCO_GL", "egl")  # read once, when mujoco is first imported
