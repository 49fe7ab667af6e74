"""A process of the service: it listens, is asked for its health, and stops."""
