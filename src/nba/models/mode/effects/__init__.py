"""Effects of contacts: design, posterior, effect modifiers, draws."""
