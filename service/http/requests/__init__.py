"""What came, read within bounds and parsed strictly: bodies, parameters, preferences, cursors."""
