"""What is measured of models: images -> features -> statistics -> a value, one file per metric."""
