"""Read, map, validate, quarantine, and keep the tables: the lake."""
