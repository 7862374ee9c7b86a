"""Models: timing, affinity, mode. One contract for all: fit, score, save, load."""
