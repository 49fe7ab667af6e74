"""Tables that are made by training many networks: what each objective is worth, and what contraction does."""
