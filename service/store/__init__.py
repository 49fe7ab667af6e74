"""The truth: items and collections on disk."""
