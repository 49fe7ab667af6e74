"""Steps of a re-coding between any writes, switches, rollbacks and restarts: always what a dictionary says."""

import shutil
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.filters import parse_filter
from service.items import Item, Query, Wanted
from service.opening import opened
from service.store.jobs import Job
from service.store.recoding_writer import RecodingWriter
from service.store.writer import Writer

IDS = [f"i{number}" for number in range(12)]
ids = st.lists(st.sampled_from(IDS), min_size=1, max_size=8, unique=True)


class Interleaved(RuleBasedStateMachine):
    """`documents` is what has to be there, by id: vector and number of the write."""

    loaded: Hashers
    keeps: NewCollection
    others: tuple[str, ...]
    name = "c"

    def __init__(self) -> None:
        super().__init__()
        self.data = Path(tempfile.mkdtemp())
        self.documents: dict[str, tuple[list[float], int]] = {}
        self.job: Job | None = None
        self.turn = 0
        self.now, self.before, self.after = "vectors@1", "", ""
        self.stage = "none"
        self.automatic = False
        self._open()
        self.service.collections.create(self.name, self.keeps)

    def _open(self) -> None:
        self.stack = ExitStack()
        self.service = self._opened()

    def _opened(self) -> Any:
        database = self.data / "d.sqlite"
        self.writer = self.stack.enter_context(closing(Writer(database)))
        self.sweeping = RecodingWriter(self.writer)
        return self.stack.enter_context(opened(database, self.loaded))

    def teardown(self) -> None:
        self.stack.close()
        shutil.rmtree(self.data)

    @rule(chosen=ids)
    def upsert(self, chosen: list[str]) -> None:
        self.turn += 1
        rng = np.random.default_rng(self.turn)
        new = {each: (rng.standard_normal(12).astype(np.float32).tolist(), self.turn) for each in chosen}
        items = [Item(each, "vector", vector, b'{"n":%d}' % n) for each, (vector, n) in new.items()]
        self.service.collections.upsert(self.name, items)
        self.documents |= new

    @rule(chosen=ids)
    def delete(self, chosen: list[str]) -> None:
        there = [each for each in chosen if self.documents.pop(each, None)]
        assert self.service.collections.delete_items(self.name, chosen) == len(there)

    @rule(back=st.integers(0, 3))
    def delete_by_filter(self, back: int) -> None:
        gone = [each for each, (_, n) in self.documents.items() if n == self.turn - back]
        condition = parse_filter({"n": self.turn - back})
        assert self.service.collections.delete_matching(self.name, condition) == len(gone)
        for each in gone:
            del self.documents[each]

    @rule(times=st.integers(1, 3))
    def remove_rows(self, times: int) -> None:
        for _ in range(times):
            self.writer.remove_some(0.0)

    @rule()
    def restart(self) -> None:
        self.stack.close()
        self._open()

    @precondition(lambda self: self.stage == "none")
    @rule(automatic=st.booleans(), turn=st.integers(1, 2))
    def begin(self, automatic: bool, turn: int) -> None:
        every = ("vectors@1", *self.others)
        self.before, self.after = self.now, every[(every.index(self.now) + turn) % len(every)]
        self.automatic, self.stage = automatic, "coding"
        self.job = self.service.recodings.begin(self.name, self.after, automatic)

    @precondition(lambda self: self.stage == "coding")
    @rule(times=st.integers(1, 4))
    def step(self, times: int) -> None:
        for _ in range(times):
            assert self.job is not None
            self.job = self._stepped(self.job)
        assert self.job is not None and self.job.errors == 0
        if not self.job.unfinished:
            assert self.job.state == "succeeded" and self.job.done == self.job.total
            self.stage = "switched" if self.automatic else "ready"
            self.now = self.after if self.automatic else self.before

    @precondition(lambda self: self.stage == "ready")
    @rule()
    def switch(self) -> None:
        assert self.service.recodings.switch(self.name).stage == "switched"
        self.stage, self.now = "switched", self.after

    # Not before there is much to lose.
    @precondition(lambda self: self.stage == "switched" or (self.stage != "none" and self.turn % 4 == 0))
    @rule()
    def roll_back(self) -> None:
        self._sweep(self.service.recodings.roll_back(self.name))
        self.stage, self.now = "none", self.before

    @precondition(lambda self: self.stage == "switched")
    @rule()
    def finish(self) -> None:
        self._sweep(self.service.recodings.finish(self.name))
        self.stage = "none"

    def _stepped(self, job: Job) -> Job | None:
        step: Job | None = self.service.recodings.step(job)
        return step

    def _sweep(self, job: Job) -> None:
        swept = self._swept(job)
        assert (swept.state, swept.done) == ("succeeded", swept.total)

    def _swept(self, job: Job) -> Job:
        return self.sweeping.sweep(job)

    @invariant()
    def everything_is_coded_by_the_one_hasher(self) -> None:
        hasher = self.loaded.get(self.now)
        answer = self.service.collections.search(self.name, [Query("vector", [0.5] * 12)], WANTED)
        assert answer.hasher == self.now
        code = int.from_bytes(hasher.encode([[0.5] * 12])[0].tobytes())
        expected = []
        for each, (vector, n) in self.documents.items():
            distance = (int.from_bytes(hasher.encode([vector])[0].tobytes()) ^ code).bit_count()
            expected.append((distance, each, b'{"n":%d}' % n))
        found = [(match.distance, match.id, match.payload) for match in answer.results[0]]
        assert found == sorted(expected)
        described = self.service.collections.get(self.name)
        assert [each.name for each in self.service.collections.all()].count(self.name) == 1
        assert (described.hasher, described.count) == (self.now, len(self.documents))


WANTED = Wanted(limit=100)


@pytest.mark.parametrize(
    ("others", "few"),
    [(("vectors@2", "vectors@3"), 1000), (("vectors@4", "vectors@3"), 1000), (("vectors@2", "vectors@3"), 0)],
)
def test_any_interleaving(versions: Path, others: tuple[str, ...], few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the rows of deleted items stay for a while, hidden: those of more than a `few` do."""
    monkeypatch.setattr("service.background.recoding.BATCH_ITEMS", 3)
    monkeypatch.setattr("service.store.deletions.FEW", few)
    monkeypatch.setattr("service.store.deletions.BLOCK_ITEMS", 2)
    monkeypatch.setattr("service.store.deletions.REMOVED_AT_ONCE", 1)
    monkeypatch.setattr("service.store.remover.Remover.start", lambda remover: None)

    class Machine(Interleaved):
        loaded = Hashers(versions)
        keeps = NewCollection(hasher="vectors@1", keep_documents=True)

    Machine.others = others
    checks = [HealthCheck.too_slow]
    run_state_machine_as_test(
        Machine, settings=settings(max_examples=25, stateful_step_count=40, deadline=None, suppress_health_check=checks)
    )
