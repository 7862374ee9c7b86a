"""What a contact about a need is worth: extra margin per customer, need and mode."""
