"""Drivers of hands, one file per protocol."""
