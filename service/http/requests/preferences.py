"""`Prefer`: what a client would rather have, and need not get (RFC 7240)."""

from collections.abc import Sequence

APPLIED = "Preference-Applied"
RESPOND_ASYNC = "respond-async"


def prefers(headers: Sequence[str], preference: str) -> bool:
    """Whether a preference without a value is among those of the headers; what is not understood is passed over."""
    given = (each for header in headers for each in _unquoted(header).split(","))
    return any(each.partition(";")[0].strip().lower() == preference for each in given)


def _unquoted(header: str) -> str:
    """A header without its quoted strings, in which commas separate nothing. One pass: a header may be 128 KiB."""
    kept: list[str] = []
    quoted = escaped = False
    for character in header:
        if escaped:
            escaped = False
        elif quoted:
            escaped = character == "\\"
            quoted = character != '"'
        elif character == '"':
            quoted = True
        else:
            kept.append(character)
    return "".join(kept)
