"""Tests that share one running rig: the bimanual one without its policy, in simulation."""
