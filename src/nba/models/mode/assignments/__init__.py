"""What was assigned to whom, what came of it, and what was known before."""
