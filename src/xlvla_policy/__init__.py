"""The mind of xlvla: latent codec training, the vision-language-action model, policies. torch lives
only here.
"""
