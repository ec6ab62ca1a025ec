"""Cameras, one file per kind."""
