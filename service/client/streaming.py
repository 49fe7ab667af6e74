"""NDJSON replies: lines out of chunks, each read as it comes."""

from collections.abc import Iterator
from typing import Generic, TypeVar

import httpx

from service.client.calls import Call
from service.client.errors import ServiceError, unlike

T = TypeVar("T")


class Lines(Generic[T]):
    """What the lines of one reply say; holds at most the beginning of one."""

    def __init__(self, call: Call[T], answer: httpx.Response) -> None:
        self._read = call.read
        self._answer = answer
        self._held = bytearray()

    def feed(self, chunk: bytes) -> Iterator[T]:
        """What the lines say that end in this chunk; raises ServiceError for what is none of the service's."""
        # By line ends alone: `splitlines` and httpx divide at others, too, which JSON may have within texts.
        *ends, rest = chunk.split(b"\n")
        lines = []
        for end in ends:
            lines.append(bytes(self._held + end))
            self._held.clear()
        # What is held is not looked at again: one group may be a line of many megabytes.
        self._held += rest
        for line in lines:
            yield self._told(line)

    def finish(self) -> Iterator[T]:
        """What the last line says, where it has no end."""
        if self._held:
            yield self._told(bytes(self._held))

    def broken_off(self, error: httpx.HTTPError) -> ServiceError:
        """The error for a reply that does not go on."""
        return ServiceError(f"the answer of {self._answer.url} broke off: {error or type(error).__name__}")

    def _told(self, line: bytes) -> T:
        try:
            return self._read(line)
        except (ValueError, KeyError, TypeError):
            raise unlike(self._answer) from None
