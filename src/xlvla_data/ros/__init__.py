"""Parts of the recorder's node."""
