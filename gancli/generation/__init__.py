"""From a trained model to pictures: points in latent spaces, translations, and writers."""
