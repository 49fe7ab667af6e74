"""The parts that serve a data folder, wired in one place."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.background.coding_anew import CodingAnew
from service.background.queue import Jobs, Orphans, Work
from service.background.recoding import Recodings
from service.coding.hashers import Hashers
from service.collections.analyses import Analyses
from service.collections.collections import Collections
from service.collections.duplicates import Duplicates
from service.collections.embedded import Embedded, EmbeddedMoments
from service.collections.upserts import Upserts
from service.index.cores import Cores
from service.index.follower import Follower
from service.index.upkeep import Upkeep
from service.jobs.living import Living
from service.jobs.watching import Watching
from service.search.matching import Matching
from service.store.connection import FEW_KILOBYTES, MANY_KILOBYTES, check
from service.store.jobs import Kind
from service.store.jobs_writer import JobsWriter
from service.store.open_reads import OpenReads
from service.store.reader import Reader
from service.store.recoding_reader import RecodingReader
from service.store.recoding_writer import RecodingWriter
from service.store.remover import Remover
from service.store.writer import Writer
from service.telemetry.stages import Stages, untimed


@dataclass(frozen=True)
class Opened:
    """Collections over one database, not loaded yet."""

    database: Path
    collections: Collections
    follower: Follower
    duplicates: Duplicates
    analyses: Analyses
    recodings: Recodings
    jobs: Jobs
    remover: Remover
    open_reads: OpenReads

    def load(self) -> None:
        """Verify the database and load all codes, at once; raises DamagedStoreError.

        First the deletions are finished that were begun before.
        """
        self.remover.finish()
        self.remover.start()
        with ThreadPoolExecutor(1) as beside:
            checked = beside.submit(self._check)
            self.follower.catch_up()
            checked.result()

    def _check(self) -> None:
        with self.open_reads.during("integrity check"):
            check(self.database)


@contextmanager
def opened(database: Path, hashers: Hashers, stages: Stages = untimed, threads: int = 1) -> Iterator[Opened]:
    """Open the database, made where there is none, until the block ends; `stages` times what is done.

    At most `threads` scan codes at once: one search is shared among those that are idle.
    """
    with ExitStack() as stack:
        open_reads = OpenReads()

        def reader_of(cache_kilobytes: int = FEW_KILOBYTES) -> Reader:
            return stack.enter_context(closing(Reader(database, cache_kilobytes, open_reads)))

        def recoding_reader() -> RecodingReader:
            return stack.enter_context(closing(RecodingReader(database, open_reads=open_reads)))

        writer = stack.enter_context(closing(Writer(database)))
        # Readers of their own for all that may read at length: nothing must hold up the look-ups.
        reader = reader_of(MANY_KILOBYTES)
        changes, pages, background = (reader_of() for _ in range(3))
        rows, living = JobsWriter(writer), stack.enter_context(closing(Living(database)))
        orphans = Orphans(recoding_reader(), rows, living)

        def look_around() -> None:
            open_reads.warn()
            orphans.look()

        watching = stack.enter_context(closing(Watching(rows, lambda: living.name, look_around)))
        upkeep = stack.enter_context(closing(Upkeep(background, watching.watch)))
        follower = Follower(changes, upkeep, stack.enter_context(closing(Cores(threads))))
        matching = Matching(*(reader_of() for _ in range(2)))
        pairs, steps, seeking = (recoding_reader() for _ in range(3))
        remover = stack.enter_context(
            closing(Remover(writer, reader_of(), database.with_name(f"{database.name}-removing")))
        )
        backend = Embedded(
            database, writer, reader, pages, reader_of(), pairs, follower, matching, remover.wake, open_reads, stages
        )
        collections = Collections(backend, hashers, Upserts(backend, hashers, stages), stages)
        # One that is read for as long as all ids take, and one for what takes seconds.
        moments, samples = (EmbeddedMoments(reader_of(), follower) for _ in range(2))
        duplicates = Duplicates(backend, moments)
        analyses = Analyses(backend, samples, hashers)
        coding = RecodingWriter(writer, recoding_reader())
        recodings = Recodings(reader, pairs, steps, coding, CodingAnew(hashers))
        works: dict[Kind, Work] = {"recode": Work(recodings.step, True), "discard": Work(coding.sweep)}
        lock = database.with_name(f"{database.name}-jobs")
        jobs = stack.enter_context(closing(Jobs(pairs, seeking, coding, rows, works, lock, watching)))
        yield Opened(database, collections, follower, duplicates, analyses, recodings, jobs, remover, open_reads)
