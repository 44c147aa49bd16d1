"""Layers, losses and initialisations that two papers or more share."""
