"""gancli: train and use generative adversarial networks from the command line."""

from gancli.version import __version__

__all__ = ["__version__"]
