"""Every arm on every fold with every seed, and what their predictions say together."""
