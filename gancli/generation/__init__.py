"""From a trained model to pictures: latents, writers."""
