"""Decisions: catalogue, eligibility, contact policy, value, allocation, reasons."""
