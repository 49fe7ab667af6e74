"""The truth: items and collections on disk, in one SQLite database. One writer a process, any number of readers."""
