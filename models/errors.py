"""The base of every error that Hammingway raises on purpose."""


class HammingwayError(Exception):
    """An error whose text is meant for the user: what was expected and what came.

    `status` is the HTTP status that the service answers with, `title` the short name of the kind. `where` says which
    part of what was asked it is about, and `detail` what is wrong there, where that is known.
    """

    status = 500
    title = "Internal error"
    where: str | None = None

    @property
    def detail(self) -> str:
        """What is wrong, without the place."""
        return str(self)


class InvalidInputError(HammingwayError):
    """A document, code or argument that cannot be used."""

    status = 422
    title = "Invalid input"

    def __init__(self, detail: str, where: str | None = None) -> None:
        """`where` it stands in the request: `filter/price`; its text begins with it."""
        super().__init__(detail if where is None else f"{where}: {detail}")
        self.where = where
        self._detail = detail

    @property
    def detail(self) -> str:
        """What is wrong, without the place."""
        return self._detail


def is_fault(error: BaseException) -> bool:
    """Whether an error is about what was worked on: all but those that end the program or a generator.

    Libraries written in Rust raise their panics as BaseException, which `except Exception` would let through.
    """
    return not isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit)
