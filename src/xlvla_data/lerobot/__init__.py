"""Data sets in the LeRobot v3.0 layout: parquet for numbers, mp4 for pictures, JSON for what they
are.
"""
