"""The hashers of one directory, each loaded once, verified when it is."""

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import orjson

from models.errors import HammingwayError, is_fault
from models.features.base import MAX_CHARACTERS, MAX_PIXELS
from models.folder import MOST_BYTES, DamagedHasherError, state
from models.hasher import Hasher
from models.versions import versions
from service.coding.budget import UNLIMITED, Budget
from service.errors import MissingHasherError, UnknownHasherError

# A folder that takes longer to load is not served: its graphs may compute for ever.
LOAD_SECONDS = 60.0


class Hashers:
    """Looks into the directory whenever it is asked, so that a newly trained hasher is served without a restart.

    Each folder is loaded in a thread of its own, and waited for in bounded time: one that is bad is bad alone.
    """

    def __init__(
        self,
        directory: Path,
        max_characters: int = MAX_CHARACTERS,
        max_pixels: int = MAX_PIXELS,
        max_bytes: int = MOST_BYTES,
        budget: Budget = UNLIMITED,
    ) -> None:
        """Longer texts and larger images than these are refused, and folders with more bytes are not loaded.

        `budget` bounds what is encoded for one request.
        """
        self.budget = budget
        self._directory = directory
        self._max_characters = max_characters
        self._max_pixels = max_pixels
        self._max_bytes = max_bytes
        # Held for look-ups alone, never while a folder is read.
        self._lock = threading.Lock()
        self._loaded: dict[str, Hasher] = {}
        self._loading: dict[str, Future[Hasher]] = {}
        # What was wrong with a folder as it was then: it is read again only once it has changed.
        self._failed: dict[str, tuple[tuple[object, ...], DamagedHasherError]] = {}

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
            if (hasher := self._loaded.get(reference)) is not None:
                return hasher
        # Compared with what is there, never joined to a path unseen: a reference comes from a request.
        there = self.references()
        if reference not in there:
            raise UnknownHasherError(
                f"expected one of the hashers there are ({', '.join(there) or 'none'}), got {reference[:80]!r}"
            )
        try:
            return self._begin(reference).result(LOAD_SECONDS)
        except TimeoutError:
            raise DamagedHasherError(
                f"expected {self._directory / reference} to be loaded within {LOAD_SECONDS:g} seconds, it was not"
            ) from None
        except HammingwayError as error:
            # A copy for each that waits: an error that is raised twice gathers the tracebacks of both.
            raise type(error)(*error.args) from None

    def _begin(self, reference: str) -> "Future[Hasher]":
        """The loading of a folder, begun if it is not under way; raises DamagedHasherError where it just failed."""
        now = state(self._directory / reference)
        with self._lock:
            if (hasher := self._loaded.get(reference)) is not None:
                found: Future[Hasher] = Future()
                found.set_result(hasher)
                return found
            if reference in self._loading:
                return self._loading[reference]
            failed = self._failed.get(reference)
            if failed is not None and failed[0] == now:
                raise failed[1]
            loading = self._loading[reference] = Future()
        threading.Thread(
            target=self._load, args=(reference, now, loading), name=f"load {reference}", daemon=True
        ).start()
        return loading

    def _load(self, reference: str, now: tuple[object, ...], loading: "Future[Hasher]") -> None:
        folder = self._directory / reference
        try:
            hasher = Hasher.load(folder, self._max_bytes)
            if hasher.reference != reference:
                # Collections are bound to the name on the card; the folder must be found by it.
                raise DamagedHasherError(
                    f"expected {folder} to hold {reference}, got {hasher.reference}: "
                    "a hasher's folder cannot be renamed"
                )
            hasher.features.limit(self._max_characters, self._max_pixels)
        except BaseException as error:
            damaged = error
            if not isinstance(error, DamagedHasherError) and is_fault(error):
                damaged = DamagedHasherError(f"{folder} cannot be loaded: {type(error).__name__}: {error}")
            with self._lock:
                if isinstance(damaged, DamagedHasherError):
                    self._failed[reference] = now, damaged
                del self._loading[reference]
            loading.set_exception(damaged)
        else:
            with self._lock:
                self._loaded[reference] = hasher
                self._failed.pop(reference, None)
                del self._loading[reference]
            loading.set_result(hasher)

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
            except UnknownHasherError:
                # Deleted since it was listed.
                continue
        return found
