"""How weights begin."""
