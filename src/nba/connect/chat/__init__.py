"""A chat platform both ways: contacts, groups and events in; tasks out, and their results back."""
