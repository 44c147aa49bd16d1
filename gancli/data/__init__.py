"""From a SOURCE that a user names to batches: open it, decode every image once, then gather batches.

``opening`` turns a SOURCE into a ``Source`` by one reader for each kind: ``shapes``, ``toy``, ``named`` (torchvision),
``arrays`` and, for folders and archives, ``layouts``. ``cache`` keeps the decoded images, ``sampler`` orders them,
``gather`` collects the items of a batch, and ``pipeline`` joins all of this. Only ``cache``, ``gather``, ``loading``,
``pipeline``, ``seen`` and torchvision's data sets import torch.
"""
