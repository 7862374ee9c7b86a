"""Exports of known systems: recognised by their header, made into tables without a mapping."""
