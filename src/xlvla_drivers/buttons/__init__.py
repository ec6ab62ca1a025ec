"""Things with keys that an operator presses: one file each, see `buttons`."""
