"""The operator's station: what a command line does on a running graph."""
