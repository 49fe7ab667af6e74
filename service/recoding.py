"""Re-coding: a collection gets the codes of another hasher, while it is searched by its old ones and written to.

The new codes fill a collection of their own, which is hidden. Whatever is written goes to both, so that they only ever
differ by what is not coded anew yet; the name passes from one to the other in one transaction, and back again.
"""

from dataclasses import dataclass
from time import monotonic

import numpy as np

from models.codes import pack
from models.hasher import Hasher
from service import kept_documents, kept_features, upserts
from service.coding import encode
from service.errors import ConflictError, UnknownRecodingError
from service.hashers import Hashers
from service.items import Item
from service.store.errors import unknown_collection
from service.store.jobs import ItemError, Job
from service.store.reader import Reader
from service.store.recoding_reader import Pair, RecodingReader
from service.store.recoding_writer import RecodingWriter
from service.store.schema import CollectionRow, Stage, StoredItem

BATCH_ITEMS = 500
BATCH_BYTES = 4 * 2**20


@dataclass(frozen=True)
class State:
    """A re-coding: from which hasher to which, how far it is, and the job that does it."""

    collection: str
    old: str | None
    new: str | None
    stage: Stage
    automatic: bool
    job: int


class Recodings:
    """Safe to use from many threads; `step` is for one at a time, of all processes."""

    def __init__(
        self, names: Reader, reader: RecodingReader, steps: RecodingReader, writer: RecodingWriter, hashers: Hashers
    ) -> None:
        """`steps` reads for the steps alone: they read at length."""
        self._names = names
        self._reader = reader
        self._steps = steps
        self._writer = writer
        self._hashers = hashers

    def begin(self, name: str, hasher: str, automatic: bool) -> Job:
        """Have a collection coded anew by `name@version`, or the newest version of `name`; returns the job.

        Raises UnknownHasherError, or ConflictError, which says what is missing, before any work.
        """
        row = self._row(name)
        if row.settings.hasher is None:
            raise ConflictError(f"expected a collection with a hasher, the items of {name!r} bring their own codes")
        new = self._hashers.get(hasher)
        if new.reference == row.settings.hasher:
            raise ConflictError(f"expected another hasher than the one that codes {name!r}, got {new.reference}")
        self._require_kept(row, new)
        return self._writer.begin(row.number, new.reference, new.bits, automatic)

    def state(self, name: str) -> State:
        """The re-coding that a collection is under; raises UnknownRecodingError where there is none."""
        pair = self._reader.pair(self._row(name).number)
        if pair is None:
            raise UnknownRecodingError(f"expected a collection that is being re-coded, {name!r} is not")
        old, new = pair.old.settings.hasher, pair.new.settings.hasher
        return State(name, old, new, pair.recoding.stage, pair.recoding.automatic, pair.recoding.job)

    def switch(self, name: str, without_refused: bool = False) -> State:
        """Search by the new codes; raises ConflictError unless they are ready.

        Where the new hasher refused items, only `without_refused`: they are then found no more.
        """
        self._writer.switch(self._row(name).number, without_refused)
        return self.state(name)

    def roll_back(self, name: str) -> Job:
        """Search by the old codes, and discard the new ones; returns the job that does. Also ends what is not done."""
        return self._writer.roll_back(self._row(name).number)

    def finish(self, name: str) -> Job:
        """Discard the old codes, after the switch; returns the job that does. There is no way back."""
        return self._writer.finish(self._row(name).number)

    def step(self, job: Job) -> Job | None:
        """Code some items anew, or be done; returns the job as it is then, None where nobody knows it any more."""
        started = monotonic()
        pair = self._steps.pair(job.subject)
        if pair is None:
            now = self._steps.job(job.number)
            if now is not None and now.unfinished:
                raise ConflictError(f"expected job {job.number} to have something to re-code, found nothing")
            return now
        recoding = pair.recoding
        if recoding.position >= recoding.last:
            return self._writer.complete(recoding)
        batch = self._steps.batch(pair, BATCH_ITEMS, BATCH_BYTES)
        coded, refused = self._code(pair, batch.items)
        return self._writer.add(recoding, coded, refused, batch.position, started)

    def _row(self, name: str) -> CollectionRow:
        row = self._names.collection(name)
        if row is None:
            raise unknown_collection(name)
        return row

    def _require_kept(self, row: CollectionRow, new: Hasher) -> None:
        old = self._hashers.bound(row.name, row.settings.hasher)
        assert old is not None  # nosec B101  # for the type checker
        settings = row.settings
        if settings.keep_documents:
            modality = old().features.modality
            if modality != new.features.modality:
                raise ConflictError(
                    f"expected a hasher of {modality}, as the documents of {row.name!r} are, got {new.reference}, "
                    f"which takes {new.features.modality}"
                )
        elif settings.keep_features == "none":
            raise ConflictError(
                f"expected a collection that keeps documents, or features, to be coded anew, {row.name!r} keeps neither"
            )
        elif not same_features(old(), new):
            raise ConflictError(
                f"expected a hasher of the very features that {row.name!r} keeps, those of {settings.hasher}, got "
                f"{new.reference}, which makes others: that takes a collection that keeps documents"
            )

    def _code(self, pair: Pair, items: list[tuple[int, StoredItem]]) -> tuple[dict[int, StoredItem], list[ItemError]]:
        """Items by the new hasher, by sequence number, and those that it refused."""
        load = self._hashers.bound(pair.old.name or pair.new.name, pair.new.settings.hasher)
        assert load is not None  # nosec B101  # for the type checker
        if not items:
            return {}, []
        if not pair.new.settings.keep_documents:
            return _from_features(pair, load(), items), []
        documents = [kept_documents.unpack(item.document or b"") for _, item in items]
        coded, faults = encode(documents, pair.new.settings.bits, load, "items")
        found = {
            sequence: upserts.store(pair.new, Item(item.id, *document, item.payload), each)
            for (sequence, item), document, each in zip(items, documents, coded, strict=True)
            if each is not None
        }
        return found, [ItemError(items[place][1].id, fault.detail) for place, fault in faults.items()]


def same_features(one: Hasher, other: Hasher) -> bool:
    """Whether two hashers make the very same features of a document: by the same settings and the same files."""
    return _identity(one) == _identity(other)


def _identity(hasher: Hasher) -> tuple[object, ...]:
    files = hasher.card["files"]
    return hasher.features.settings(), {name: files.get(name) for name in hasher.features.files()}


def _from_features(pair: Pair, hasher: Hasher, items: list[tuple[int, StoredItem]]) -> dict[int, StoredItem]:
    """What is kept of an item stays as it is, to the byte; its code is made from that."""
    keep = pair.old.settings.keep_features
    rows = np.stack([kept_features.unpack(item.features or b"", keep) for _, item in items])
    codes = pack(hasher.logits(rows))
    return {sequence: item._replace(code=code.tobytes()) for (sequence, item), code in zip(items, codes, strict=True)}
