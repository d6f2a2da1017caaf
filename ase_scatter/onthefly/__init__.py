"""Learning while running: properties at the accuracy of a reference for a handful of its calculations."""
