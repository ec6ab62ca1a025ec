"""Chunks that mean harm, and what motion makes of them: commands driven tick by tick without ROS,
then checked from outside.
"""
