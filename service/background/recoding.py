"""Re-coding: a collection gets the codes of another hasher, while it is searched by its old ones and written to.

The new codes fill a collection of their own, which is hidden. Whatever is written goes to both, so that they only ever
differ by what is not coded anew yet; the name passes from one to the other in one transaction, and back again.
"""

from dataclasses import dataclass
from time import monotonic

from service.background.coding_anew import CodingAnew
from service.coding.encoding import Going
from service.errors import ConflictError, UnknownRecodingError
from service.store.errors import unknown_collection
from service.store.jobs import ItemError, Job
from service.store.reader import Reader
from service.store.recoding_reader import Pair, RecodingReader
from service.store.recoding_writer import RecodingWriter
from service.store.schema import CollectionRow, Stage, StoredItem
from service.threads.runs import AbandonedError

BATCH_ITEMS = 500
BATCH_BYTES = 4 * 2**20
# Between two looks at whether a job goes on: a picture takes up to a second.
LOOK_SECONDS = 0.25


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
        self, names: Reader, reader: RecodingReader, steps: RecodingReader, writer: RecodingWriter, anew: CodingAnew
    ) -> None:
        """`steps` reads for the steps alone: they read at length."""
        self._names = names
        self._reader = reader
        self._steps = steps
        self._writer = writer
        self._anew = anew

    def begin(self, name: str, hasher: str, automatic: bool) -> Job:
        """Have a collection coded anew by `name@version`, or the newest version of `name`; returns the job.

        Raises UnknownHasherError, or ConflictError, which says what is missing, before any work.
        """
        row = self._row(name)
        new = self._anew.wanted(row, hasher)
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
        coded, refused = self._code(pair, batch.items, self._going(job))
        return self._writer.add(recoding, coded, refused, batch.position, started)

    def _row(self, name: str) -> CollectionRow:
        row = self._names.collection(name)
        if row is None:
            raise unknown_collection(name)
        return row

    def _going(self, job: Job) -> Going:
        """Raises AbandonedError once a job was ended, which is looked for now and then."""
        looked = monotonic()

        def going() -> None:
            nonlocal looked
            if monotonic() - looked < LOOK_SECONDS:
                return
            now = self._steps.job(job.number)
            if now is None or not now.unfinished:
                raise AbandonedError(f"expected job {job.number} to go on, it was ended")
            looked = monotonic()

        return going

    def _code(
        self, pair: Pair, items: list[tuple[int, StoredItem]], going: Going
    ) -> tuple[dict[int, StoredItem], list[ItemError]]:
        """Items by the new hasher, by sequence number, and those that it refused."""
        name = pair.old.name or pair.new.name
        coded, refused = self._anew.code(name, pair.new, [item for _, item in items], going)
        return {items[place][0]: item for place, item in coded.items()}, refused
