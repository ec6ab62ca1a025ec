"""The training half of the cross-hand latent codec; the run-time half is `xlvla.codec`."""
