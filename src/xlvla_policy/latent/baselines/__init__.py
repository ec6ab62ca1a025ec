"""Other methods that retarget a pose of one hand to another, to compare the latent with."""
