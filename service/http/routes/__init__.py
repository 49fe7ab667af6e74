"""The operations, by what they are about: from a request to the service's parts and back."""
