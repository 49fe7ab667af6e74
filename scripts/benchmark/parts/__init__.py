"""The parts of the benchmark: each a function that measures, verifies and notes its figures."""
