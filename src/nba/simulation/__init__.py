"""A retail world with known truth."""
