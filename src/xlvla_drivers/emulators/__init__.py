"""Emulated devices, one file per driver: rehearse a rig without hardware."""
