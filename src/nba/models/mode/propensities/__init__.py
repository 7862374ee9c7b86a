"""How likely an arm was, and a message to be sent and to be read."""
