"""Time splits, metrics, off-policy estimates and the analysis of experiments."""
