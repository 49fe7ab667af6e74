"""The serving half: collections of codes, their store and index, and HTTP."""
