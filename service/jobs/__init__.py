"""What is told of work that takes long: progress, rate, errors, how it ended, and which process does it."""
