"""One file per hand, each with one `HAND`."""
