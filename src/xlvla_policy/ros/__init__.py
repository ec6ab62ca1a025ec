"""What the policy's node hears of the graph."""
