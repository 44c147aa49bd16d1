"""The settings of a DCGAN that trains in a moment."""

SMALL = [
    *("--set", "model.generator_width=4", "--set", "model.discriminator_width=4", "--set", "model.latent_dim=8"),
    *("--set", "train.samples=4", "--batch", "8"),
]
