"""One file per paper; ``base`` holds what they have in common. Nothing is imported here: the registry finds them."""
