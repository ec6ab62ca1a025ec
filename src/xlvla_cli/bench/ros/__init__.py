"""What a bench starts and measures on a running graph."""
