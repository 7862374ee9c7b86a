"""What a customer bought, reduced to what sources and features read."""
