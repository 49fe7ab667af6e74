"""Re-coding in Milvus: a second collection, hidden, gets the new codes, and the name passes to it.

As `service.background.recoding`, whose words these are; but it walks in the order of ids, and twice. The first walk
codes all items. The second only compares, as a service that was killed between its two writes leaves the two different.
"""

from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import cast

from models.hasher import Hasher
from service.background.coding_anew import CodingAnew
from service.background.recoding import State
from service.coding.encoding import Going
from service.errors import ConflictError, UnknownRecodingError
from service.milvus import schema
from service.milvus.endings import Endings, new_job_number
from service.milvus.filtering import after, both, until
from service.milvus.marks import Mark, Marks, Progress, ended, new_number
from service.milvus.names import Names
from service.milvus.pairs import Pairs
from service.milvus.table import AT_ONCE, STRONG, Table
from service.store import jobs
from service.store import schema as store
from service.store.errors import UnknownCollectionError, unknown_collection
from service.store.jobs import FIRST_ERRORS, Job
from service.store.recoding_writer import told_missing
from service.store.schema import CollectionRow
from service.threads.runs import AbandonedError

BATCH_ITEMS = 500
COMPARED_ITEMS = 4096
# Between two looks at whether a job goes on: a picture takes up to a second.
LOOK_SECONDS = 0.5
# By so much the clocks of two replicas may differ.
SLACK = 60 * 1_000_000 << 12
CODING, COMPARING, DONE = 1, 2, 3


class MilvusRecodings:
    """Safe to use from many threads; `step` is for one at a time, of all processes."""

    def __init__(self, names: Names, marks: Marks, endings: Endings, pairs: Pairs, anew: CodingAnew) -> None:
        self._names = names
        self._marks = marks
        self._endings = endings
        self._pairs = pairs
        self._anew = anew

    def begin(self, name: str, hasher: str, automatic: bool) -> Job:
        """Have a collection coded anew by `name@version`, or the newest version of `name`; returns the job.

        Raises UnknownHasherError, or ConflictError, which says what is missing, before any work.
        """
        row = self._row(name)
        new = self._anew.wanted(row, hasher)
        if row.recoding is not None:
            # One that is just being ended raises, and is asked for again.
            self._pairs.mark(row)
            raise _under_way(name)
        mark = self._new(row, new, automatic)
        checksum = self._anew.hashers.checksum(new.reference)
        settings = replace(row.settings, hasher=new.reference, bits=new.bits, hasher_checksum=checksum)
        self._names.create(CollectionRow(mark.new, name, settings, mark.number))
        if not self._marks.add(mark):
            self._names.drop(mark.new)
            raise _under_way(name)
        now = self._row(name)
        if now.number != row.number or now.recoding not in (None, mark.number):
            # Begun by somebody else, who has come farther by now.
            self._names.drop(mark.new)
            self._marks.drop(self._marks.find(mark.number) or mark)
            raise _under_way(name)
        self._names.note_recoding(mark.old, mark.number)
        return mark.job

    def state(self, name: str) -> State:
        """The re-coding that a collection is under; raises UnknownRecodingError where there is none."""
        mark = self._required(name)
        return State(name, mark.old_hasher, mark.new_hasher, _told(mark), mark.automatic, mark.job.number)

    def switch(self, name: str, without_refused: bool = False) -> State:
        """Search by the new codes; raises ConflictError unless they are ready.

        Where the new hasher refused items, only `without_refused`: they are then found no more.
        """
        mark = self._required(name)
        if mark.stage != "ready":
            raise ConflictError(f"expected a re-coding that is ready, got one that is {_told(mark)}")
        missing = self._missing(mark)
        if missing and not without_refused:
            raise ConflictError(f"expected all items to be coded by the new hasher: {told_missing(missing)}")
        self._compare_latest(mark, mark.old)
        moved = self._marks.advance(mark, "switched")
        if moved is not None:
            self._endings.settle(moved)
        return self.state(name)

    def roll_back(self, name: str) -> Job:
        """Search by the old codes, and discard the new ones; returns the job that does. Also ends what is not done."""
        while True:
            mark = self._required(name)
            if mark.stage == "switched":
                self._compare_latest(mark, mark.new)
            ended = self._endings.end(mark, "back")
            if ended is not None and ended.discard is not None:
                return ended.discard

    def finish(self, name: str) -> Job:
        """Discard the old codes, after the switch; returns the job that does. There is no way back."""
        while True:
            mark = self._required(name)
            if mark.stage != "switched":
                raise ConflictError(f"expected a re-coding that was switched, got one that is {_told(mark)}")
            ended = self._endings.end(mark, "done", "succeeded")
            if ended is not None and ended.discard is not None:
                return ended.discard

    def step(self, mark: Mark) -> Mark | None:
        """Code some items anew, or be done; returns it as it is then, None where somebody else took it further."""
        if mark.stage == "begun":
            return self._take_on(mark)
        if mark.stage != "coding":
            return self._complete(mark)
        started = monotonic()
        try:
            now = self._walked(mark)
        except UnknownCollectionError:
            return self._without_items(mark)
        except AbandonedError:
            return None
        job = replace(now.job, seconds=now.job.seconds + monotonic() - started, waits_for=None)
        noted = self._marks.note(replace(mark, progress=replace(now, job=job)))
        return self._make_ready(noted) if noted is not None and noted.progress.walk == DONE else noted

    def _take_on(self, mark: Mark) -> Mark | None:
        """Have all write to both from now on; who began it may have been killed before that."""
        try:
            known = self._names.numbered(mark.old).recoding
        except UnknownCollectionError:
            return self._without_items(mark)
        other = None if known in (None, mark.number) else self._marks.find(known)
        if other is not None and not other.over:
            # Begun while that was begun and taken on: who began it finds that out, too, or was killed.
            self._endings.end(mark, "back")
            return None
        # Where somebody else takes it further, or deletes all, the next look at it finds that.
        with suppress(UnknownCollectionError):
            self._marks.publish(mark)
            self._names.note_recoding(mark.old, mark.number)
            return self._marks.advance(mark, "coding")
        return None

    def _walked(self, mark: Mark) -> Progress:
        old, new = (self._pairs.table(number) for number in (mark.old, mark.new))
        if mark.progress.walk == CODING and not mark.progress.position:
            new.prepare()
        if mark.progress.walk == CODING:
            return self._code(mark.progress, old, new, self._going(mark))
        if mark.progress.walk == COMPARING:
            position, refused = self._compare(old, new, mark.progress.position)
            walk, refused = DONE if position is None else COMPARING, mark.progress.refused + refused
            return replace(mark.progress, walk=walk, position=position or "", refused=refused)
        return mark.progress

    def _going(self, mark: Mark) -> Going:
        """Raises AbandonedError once somebody else took it further, or ended it; looked for now and then."""
        looked = monotonic()

        def going() -> None:
            nonlocal looked
            if monotonic() - looked < LOOK_SECONDS:
                return
            now = self._marks.find(mark.number)
            if now is None or now.stage != mark.stage:
                raise AbandonedError(f"expected job {mark.job.number} to go on, it was ended")
            looked = monotonic()

        return going

    def _without_items(self, mark: Mark) -> Mark | None:
        """Where one of the two is gone: with the whole collection, or as somebody else has ended it."""
        named = self._names.row(mark.name)
        if named is None or named.number not in (mark.old, mark.new):
            self._endings.end(mark, "gone")
        elif named.number == mark.old:
            # Who began it found another one begun, and was killed before it had cleared up all.
            self._endings.end(mark, "back")
        return None

    def _code(self, progress: Progress, old: Table, new: Table, going: Going) -> Progress:
        """Give the new one the next items of the old one, and again what is written meanwhile."""
        # What this overlooks the second walk finds; but the end has to be one.
        ids = sorted(old.versions(after(progress.position), BATCH_ITEMS, AT_ONCE))
        if len(ids) < BATCH_ITEMS:
            ids = sorted(old.versions(after(progress.position), BATCH_ITEMS))
        given, refused = self._pairs.copy(old, new, ids, AT_ONCE, going)
        self._pairs.settle(old, new, given)
        job = progress.job
        done = job.done + len(ids)
        job = replace(
            job,
            done=done if job.total is None else min(done, job.total),
            errors=job.errors + len(refused),
            first_errors=(*job.first_errors, *refused)[:FIRST_ERRORS],
        )
        if len(ids) < BATCH_ITEMS:
            return Progress(job, COMPARING, "", schema.moment() - SLACK)
        return replace(progress, job=job, position=ids[-1])

    def _compare_latest(self, mark: Mark, named: int) -> None:
        """Make the same what was written since it was compared: who wrote it to one of them may have been killed."""
        one, other = (self._pairs.table(number) for number in (named, mark.other(named)))
        position: str | None = ""
        while position is not None:
            position, _ = self._compare(one, other, position, f"written > {mark.progress.since}")

    def _compare(self, one: Table, other: Table, position: str, among: str = "") -> tuple[str | None, int]:
        """Make the same the next items of both; returns where to go on, None at the end, and how many were refused."""
        there = one.versions(both(among, after(position)), COMPARED_ITEMS)
        last = max(there) if len(there) == COMPARED_ITEMS else None
        part = both(among, after(position)) if last is None else both(among, both(after(position), until(last)))
        beside = other.versions(part)
        # What the one that is searched lacks may be refused by its hasher: the other keeps it.
        refused = self._pairs.refused(one, other, [each for each in beside if each not in there])
        differing = [each for each in there.keys() | beside.keys() - refused if there.get(each) != beside.get(each)]
        count = 0
        for start in range(0, len(differing), BATCH_ITEMS):
            given, errors = self._pairs.copy(one, other, differing[start : start + BATCH_ITEMS])
            self._pairs.settle(one, other, given)
            count += len(errors)
        return last, count

    def _make_ready(self, mark: Mark) -> Mark | None:
        """All items are done; what was written during the second walk is compared again."""
        self._compare_latest(mark, mark.old)
        ready = self._marks.advance(mark, "ready")
        return None if ready is None else self._complete(ready)

    def _complete(self, mark: Mark) -> Mark | None:
        """Switch where that was asked for and nothing is missing, else leave it ready."""
        missing = self._missing(mark) if mark.stage == "ready" else 0
        if mark.stage == "ready" and mark.automatic and not missing:
            switched = self._marks.advance(mark, "switched")
            if switched is None:
                return None
            mark = switched
        self._endings.settle(mark)
        # What was written anew or deleted meanwhile was no work of the job's.
        job = replace(mark.job, done=mark.job.done if mark.job.total is None else mark.job.total)
        detail = told_missing(missing)
        if mark.automatic and missing:
            job = ended(job, "failed", f"not switched: {detail}")
        else:
            job = ended(job, "succeeded", detail)
        return self._marks.note(replace(mark, progress=replace(mark.progress, job=job)))

    def _new(self, row: CollectionRow, new: Hasher, automatic: bool) -> Mark:
        """What is to be written down of a re-coding that begins."""
        number, other = new_number(), new_number()
        total = self._names.table(row).count(level=STRONG)
        about = f"from {row.settings.hasher} to {new.reference}"
        job = replace(jobs.new("recode", row.name, other, about, total), number=new_job_number())
        hashers = row.settings.hasher, new.reference
        return Mark(number, row.name, row.number, other, *hashers, automatic, Progress(job))

    def _missing(self, mark: Mark) -> int:
        """How many items of the old collection the new one lacks, as its hasher refused them."""
        if not mark.progress.refused:
            return 0
        old, new = (self._pairs.table(number) for number in (mark.old, mark.new))
        lacking: list[str] = []
        for block in old.by_id("", ["id"]):
            ids = [row["id"] for row in block]
            lacking += new.lacking(ids)
        # Milvus may give an item that is deleted, where others are just written: what it gives twice is there.
        there = set(lacking) - set(old.lacking(lacking))
        return len(there.intersection(new.lacking(lacking)))

    def _required(self, name: str) -> Mark:
        row = self._row(name)
        mark = None if row.recoding is None else self._marks.find(row.recoding)
        if mark is None or mark.over:
            raise UnknownRecodingError(f"expected a collection that is being re-coded, {name!r} is not")
        return mark

    def _row(self, name: str) -> CollectionRow:
        row = self._names.row(name)
        if row is None:
            raise unknown_collection(name)
        return row


def _told(mark: Mark) -> store.Stage:
    """The stage that users are told."""
    return "coding" if mark.stage == "begun" else cast(store.Stage, mark.stage)


def _under_way(name: str) -> ConflictError:
    return ConflictError(f"expected {name!r} not to be under re-coding, it is: finish it or roll it back first")
