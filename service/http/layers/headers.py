"""Headers that every reply carries, so that a browser does nothing with it but show it to who asked for it."""

from collections.abc import Iterable

Header = tuple[bytes, bytes]

# A reply that says something else of one of these keeps it: the page for people needs scripts.
ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
NOT_STORED: Header = (b"cache-control", b"no-store")
# The parts of the page for people are the same for everyone, and belong to the version that is installed.
PUBLIC = "/static-offline-docs/"
_PRIVATE = (*ALWAYS, NOT_STORED)


def completed(headers: Iterable[Header], path: str) -> list[Header]:
    """The headers of a reply to a path with those that it has not."""
    made = list(headers)
    there = {name for name, _ in made}
    made += [pair for pair in (ALWAYS if path.startswith(PUBLIC) else _PRIVATE) if pair[0] not in there]
    return made
