"""One file per arm, each with one `ARM`."""
