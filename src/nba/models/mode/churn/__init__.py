"""What a contact risks: losing the friend, and what goes with it."""
