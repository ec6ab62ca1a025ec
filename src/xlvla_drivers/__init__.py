"""The body of xlvla: motion, the only writer of commands, and the drivers of devices."""
