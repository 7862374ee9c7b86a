"""What a contact in each mode changes for this customer, in money, and at what risk."""
