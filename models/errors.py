"""The base of every error that Hammingway raises on purpose."""


class HammingwayError(Exception):
    """An error whose text is meant for the user: what was expected and what came.

    `status` is the HTTP status that the service answers with, `title` the short name of the kind.
    """

    status = 500
    title = "Internal error"


class InvalidInputError(HammingwayError):
    """A document, code or argument that cannot be used."""

    status = 422
    title = "Invalid input"
