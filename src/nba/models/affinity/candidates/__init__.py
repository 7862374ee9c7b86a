"""The first stage: which products may be worth a place, from all sources."""
