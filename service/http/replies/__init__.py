"""What is told, and how: results, streams, errors."""
