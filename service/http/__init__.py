"""HTTP: routes that validate, hand over and reply. The only place that knows FastAPI."""
