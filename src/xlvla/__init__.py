"""The words of xlvla: what a rig is made of, the ROS graph as data, kinematics and the latent
codec.
"""

__version__ = "0.1.0"
