"""Structures: systems, data sets, neighbours, batches."""
