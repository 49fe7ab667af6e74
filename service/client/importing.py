"""Imports of any length: lines gathered to requests that are short enough to be repeated, and what became of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import InvalidInputError
from service.client.documents import to_json
from service.client.errors import ServiceError
from service.client.results import Indexed, Rejected

BATCH_LINES = 1000
BATCH_BYTES = 8 * 2**20
Line = bytes | Mapping[str, Any]


class Gathering:
    """Lines until they are enough for a request."""

    def __init__(self) -> None:
        self._lines: list[bytes] = []
        self._size = 0

    def add(self, line: Line) -> list[bytes]:
        """All lines since the last request where they are enough now, otherwise none."""
        text = _text(line)
        self._lines.append(text)
        self._size += len(text)
        return self.rest() if len(self._lines) >= BATCH_LINES or self._size >= BATCH_BYTES else []

    def rest(self) -> list[bytes]:
        """All lines since the last request."""
        lines, self._lines, self._size = self._lines, [], 0
        return lines


class Import:
    """What became of the lines so far."""

    def __init__(self) -> None:
        self._sent = 0
        self._indexed = 0
        self._rejected: list[Rejected] = []

    def add(self, lines: Sequence[bytes], outcome: Indexed | ServiceError) -> None:
        """Count a request; raises ServiceError, with all that was indexed and rejected before, if it was stopped."""
        self._indexed += outcome.indexed or 0
        self._rejected += [Rejected(self._sent + each.line, each.detail) for each in outcome.rejected]
        self._sent += len(lines)
        # Where every line was bad the reply is an error that names them all.
        if isinstance(outcome, ServiceError) and (not outcome.rejected or outcome.indexed is not None):
            faults = [{"where": f"line {each.line}", "detail": each.detail} for each in self._rejected]
            raise ServiceError(str(outcome), outcome.status, faults, self._indexed) from None

    def outcome(self) -> Indexed:
        """All of it so far."""
        return Indexed(self._indexed, self._rejected, self._sent)


def _text(line: Line) -> bytes:
    if isinstance(line, Mapping):
        return to_json(line)
    text = line.rstrip(b"\r\n")
    if b"\n" in text:
        raise InvalidInputError(f"expected one line, got several: {text[:80]!r}")
    return text
