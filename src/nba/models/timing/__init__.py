"""Timing: when will this customer buy again, overall and per category."""
