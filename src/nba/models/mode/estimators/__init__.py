"""Regressions that the others share: columns as matrices, ridge, trees."""
