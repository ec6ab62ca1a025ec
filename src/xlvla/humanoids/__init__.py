"""One file per humanoid, each with one `HUMANOID`."""
