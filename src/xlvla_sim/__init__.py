"""The world of xlvla: MuJoCo scenes of a rig, tasks with success stages, scripted experts."""
