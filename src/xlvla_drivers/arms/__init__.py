"""Drivers of arms, one file per protocol."""
