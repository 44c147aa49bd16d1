"""From a SOURCE that a user names to batches: recognise, decode once into a cache, then gather.

``source`` says what there is, ``formats`` turns any image file into pixels, ``cache`` holds them decoded, ``sampler``
orders them, and ``pipeline`` turns positions into batches. Only ``cache``, ``pipeline`` and torchvision's data sets
(``named``) import torch.
"""
