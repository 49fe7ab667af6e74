"""From documents to codes, and what a collection keeps beside them."""
