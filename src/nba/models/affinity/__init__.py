"""Affinity: which products to bring to a customer now."""
