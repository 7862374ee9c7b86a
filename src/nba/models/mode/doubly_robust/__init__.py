"""The multi-arm doubly robust learner, for tests with propensities."""
