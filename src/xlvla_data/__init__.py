"""The memory of xlvla: recorded episodes."""
