"""What may be done with a collection, and what keeps it."""
