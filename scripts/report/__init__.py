"""The training report: one page that shows what a hasher learned, beside its baselines, with nothing to load."""
