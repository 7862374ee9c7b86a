"""Adapters to the world outside: webhooks and copilots."""
