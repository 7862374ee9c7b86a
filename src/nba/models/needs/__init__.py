"""What a contact can serve for a customer: the needs, and how due each is."""
