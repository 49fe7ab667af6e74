"""The parts that serve the collections of a Milvus, wired in one place."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

from service.background.coding_anew import CodingAnew
from service.background.remembering import Remembering
from service.coding.hashers import Hashers
from service.collections.analyses import Analyses
from service.collections.collections import Collections
from service.collections.duplicates import Duplicates
from service.collections.upserts import Upserts
from service.milvus.address import Address
from service.milvus.backend import Milvus
from service.milvus.connection import Connection
from service.milvus.endings import Endings
from service.milvus.jobs import MilvusJobs
from service.milvus.ledger import Ledger
from service.milvus.leftovers import Leftovers
from service.milvus.marks import Marks
from service.milvus.moments import MilvusMoments
from service.milvus.names import Names
from service.milvus.pairs import Pairs
from service.milvus.recoding import MilvusRecodings
from service.store.open_reads import OpenReads
from service.telemetry.stages import Stages, untimed


@dataclass(frozen=True)
class Opened:
    """As `service.opening.Opened`."""

    collections: Collections
    duplicates: Duplicates
    analyses: Analyses
    recodings: MilvusRecodings
    jobs: Remembering
    open_reads: OpenReads

    def load(self) -> None:
        """Nothing is held here; also where Milvus does not answer yet, as it may soon."""


@contextmanager
def opened(address: Address, hashers: Hashers, stages: Stages = untimed) -> Iterator[Opened]:
    """Serve the collections of a Milvus, which need not be there yet, until the block ends."""
    with ExitStack() as stack:
        connection = stack.enter_context(closing(Connection(address)))
        names, marks, anew = Names(connection), Marks(connection), CodingAnew(hashers)
        endings = Endings(names, marks)
        pairs = Pairs(names, marks, endings, anew)
        backend = Milvus(connection, names, pairs, endings, stages)
        moments = MilvusMoments(backend)
        recodings = MilvusRecodings(names, marks, endings, pairs, anew)
        ledger, leftovers = Ledger(connection), Leftovers(connection, names, marks)
        jobs = stack.enter_context(closing(MilvusJobs(marks, ledger, endings, recodings, leftovers)))
        yield Opened(
            Collections(backend, hashers, Upserts(backend, hashers, stages), stages),
            Duplicates(backend, moments),
            Analyses(backend, moments, hashers),
            recodings,
            stack.enter_context(closing(Remembering(jobs))),
            OpenReads(),
        )
