"""What a data set looks like: pictures, joints and how much of the latent space they cover, on one
page.
"""
