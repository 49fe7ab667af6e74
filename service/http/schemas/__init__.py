"""The shapes of requests and replies, and how a request's parts become the service's own."""
