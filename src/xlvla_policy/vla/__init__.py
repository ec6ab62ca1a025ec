"""The vision-language-action model: pi0's architecture with latent action tokens."""
