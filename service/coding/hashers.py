"""The hashers of one directory, each loaded once, verified when it is."""

import hashlib
import threading
from collections.abc import Callable
from pathlib import Path

import orjson

from models.features.base import MAX_CHARACTERS, MAX_PIXELS
from models.folder import DamagedHasherError
from models.hasher import Hasher
from models.versions import versions
from service.errors import MissingHasherError, UnknownHasherError


class Hashers:
    """Looks into the directory whenever it is asked, so that a newly trained hasher is served without a restart."""

    def __init__(self, directory: Path, max_characters: int = MAX_CHARACTERS, max_pixels: int = MAX_PIXELS) -> None:
        """Longer texts and larger images than these are refused."""
        self._directory = directory
        self._max_characters = max_characters
        self._max_pixels = max_pixels
        self._lock = threading.Lock()
        self._loaded: dict[str, Hasher] = {}

    def references(self) -> list[str]:
        """`name@version` of every folder there, by name and version; whether it can be loaded is another matter."""
        return [f"{name}@{number}" for name, numbers in versions(self._directory).items() for number in numbers]

    def get(self, reference: str) -> Hasher:
        """The hasher `name@version`, or the newest version of `name`.

        Raises UnknownHasherError, or DamagedHasherError: a damaged newest version is an error, not a reason to
        answer with an older one.
        """
        name, at, _ = reference.partition("@")
        if not at and (known := versions(self._directory).get(name)):
            reference = f"{name}@{known[-1]}"
        with self._lock:
            if reference not in self._loaded:
                # Compared with what is there, never joined to a path unseen: a reference comes from a request.
                if reference not in self.references():
                    there = ", ".join(self.references()) or "none"
                    raise UnknownHasherError(f"expected one of the hashers there are ({there}), got {reference[:80]!r}")
                hasher = Hasher.load(self._directory / reference)
                if hasher.reference != reference:
                    # Collections are bound to the name on the card; the folder must be found by it.
                    raise DamagedHasherError(
                        f"expected {self._directory / reference} to hold {reference}, got {hasher.reference}: "
                        "a hasher's folder cannot be renamed"
                    )
                hasher.features.limit(self._max_characters, self._max_pixels)
                self._loaded[reference] = hasher
            return self._loaded[reference]

    def checksum(self, reference: str) -> str:
        """What tells a hasher's files from those of another one of that name and version."""
        return hashlib.sha256(orjson.dumps(self.get(reference).card["files"], option=orjson.OPT_SORT_KEYS)).hexdigest()

    def bound(self, collection: str, reference: str | None, checksum: str | None = None) -> Callable[[], Hasher] | None:
        """Loads the hasher that a collection is bound to, or raises MissingHasherError; None where it has none.

        `checksum` is what its files have to be, where that is known.
        """
        if reference is None:
            return None

        def load() -> Hasher:
            try:
                hasher = self.get(reference)
            except UnknownHasherError as error:
                # Not the caller's mistake: the collection is bound to it, and its folder is gone.
                raise MissingHasherError(f"collection {collection!r} needs hasher {reference}: {error}") from None
            if checksum is not None and self.checksum(reference) != checksum:
                raise MissingHasherError(
                    f"collection {collection!r} needs the hasher {reference} that it was created with, the one that is "
                    "here has other files"
                )
            return hasher

        return load

    def check(self) -> dict[str, DamagedHasherError | None]:
        """Load every hasher; says for each reference what is wrong with it, or None."""
        found: dict[str, DamagedHasherError | None] = {}
        for reference in self.references():
            try:
                self.get(reference)
                found[reference] = None
            except DamagedHasherError as error:
                found[reference] = error
        return found
