"""Other ways to bring a pose of one hand to another, to compare the latent with."""
