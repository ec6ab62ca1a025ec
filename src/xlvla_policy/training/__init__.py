"""Training of policies from recorded demonstrations."""
