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
from service.store.connection import MANY_KILOBYTES, check
from service.store.jobs import Kind
from service.store.jobs_writer import JobsWriter
from service.store.reader import Reader
from service.store.recoding_reader import RecodingReader
from service.store.recoding_writer import RecodingWriter
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

    def load(self) -> None:
        """Verify the database and load all codes, at once; raises DamagedStoreError."""
        with ThreadPoolExecutor(1) as beside:
            checked = beside.submit(check, self.database)
            self.follower.catch_up()
            checked.result()


@contextmanager
def opened(database: Path, hashers: Hashers, stages: Stages = untimed, threads: int = 1) -> Iterator[Opened]:
    """Open the database, made where there is none, until the block ends; `stages` times what is done.

    At most `threads` scan codes at once: one search is shared among those that are idle.
    """
    with ExitStack() as stack:
        writer = stack.enter_context(closing(Writer(database)))
        # Readers of their own for all that may read at length: nothing must hold up the look-ups.
        reader = stack.enter_context(closing(Reader(database, MANY_KILOBYTES)))
        changes, pages, background = (stack.enter_context(closing(Reader(database))) for _ in range(3))
        rows, living = JobsWriter(writer), stack.enter_context(closing(Living(database)))
        orphans = Orphans(stack.enter_context(closing(RecodingReader(database))), rows, living)
        watching = stack.enter_context(closing(Watching(rows, lambda: living.name, orphans.look)))
        upkeep = stack.enter_context(closing(Upkeep(background, watching.watch)))
        follower = Follower(changes, upkeep, stack.enter_context(closing(Cores(threads))))
        matching = Matching(*(stack.enter_context(closing(Reader(database))) for _ in range(2)))
        pairs, steps, seeking = (stack.enter_context(closing(RecodingReader(database))) for _ in range(3))
        backend = Embedded(database, writer, reader, pages, pairs, follower, matching, stages)
        collections = Collections(backend, hashers, Upserts(backend, hashers, stages), stages)
        # One that is read for as long as all ids take, and one for what takes seconds.
        moments, samples = (EmbeddedMoments(stack.enter_context(closing(Reader(database))), follower) for _ in range(2))
        duplicates = Duplicates(backend, moments)
        analyses = Analyses(samples, hashers)
        coding = RecodingWriter(writer)
        recodings = Recodings(reader, pairs, steps, coding, CodingAnew(hashers))
        works: dict[Kind, Work] = {"recode": Work(recodings.step, True), "discard": Work(coding.sweep)}
        lock = database.with_name(f"{database.name}-jobs")
        jobs = stack.enter_context(closing(Jobs(pairs, seeking, coding, rows, works, lock, watching)))
        yield Opened(database, collections, follower, duplicates, analyses, recodings, jobs)
