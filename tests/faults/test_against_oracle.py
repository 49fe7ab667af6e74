"""Any sequence of writes, searches, restarts and changes of the index gives what brute force in NumPy gives."""

import sqlite3
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

import service.index.snapshot
from service.coding.hashers import Hashers
from service.collections.collections import Collections, Description, NewCollection
from service.errors import UnknownItemError
from service.filters import parse_filter
from service.index.sizes import least
from service.items import Item, Match, Query, Wanted
from service.opening import opened
from service.store.errors import UnknownCollectionError
from service.store.schema import IndexSettings, StoredItem
from tests.faults.oracle import Held, Oracle
from tests.faults.small_sizes import RARE, REACHED, REMOVALS_KEPT, make_small
from tests.faults.truth import DATABASE, EVERYTHING

EXAMPLES, LONG_EXAMPLES, STEPS = 40, 800, 50
PATIENCE_SECONDS = 30.0
# Their order by code point is neither the one of their numbers nor that of UTF-16.
IDS = [f"{'aZé￿😀'[number % 5]}{number}" for number in range(150)]
# With the larger, an IVF index that probes all of its lists is exact; with the smaller, but for which of the ties of
# the last place it finds.
SLACKS = (1, 1000)

WORKERS = st.integers(0, 1)
BITS = st.sampled_from([8, 16])
NAMES = st.sampled_from(["one", "two"])
PLACES = st.integers(0, len(IDS) - 1)
FEW, COUNTS = st.integers(4, 20), st.integers(1, 70)
SEEDS = st.integers(0, 2**32 - 1)
# Two bytes, of which a collection of 8 bits uses the first; of few values, so that distances tie.
CODES = st.sampled_from([b"\x00\x00", b"\xff\xff", b"\x0f\x00", b"\x01\x80", b"\x03\x01"]) | st.binary(
    min_size=2, max_size=2
)
QUERIES = st.lists(st.tuples(st.just("code"), CODES) | st.tuples(st.just("id"), PLACES), min_size=1, max_size=5)
LIMITS = st.integers(1, 4) | st.integers(5, 12) | st.sampled_from([40, EVERYTHING])
DISTANCES = st.none() | st.integers(0, 16)
INDEXES = st.sampled_from(
    [IndexSettings(), IndexSettings("ivf", 1, 1), IndexSettings("ivf", 2, 2), IndexSettings("auto", 1, 1, above=70)]
)
USUAL_FILTERS: list[dict[str, Any]] = [{"n": {"gte": 7}}, {"n": 3}, {"not": {"s": "a"}}]

NUMBERS = st.integers(0, 9) | st.sampled_from([0.5, 2.0, -1, 2**53 + 1])
TEXTS = st.sampled_from(["", "a", "b", "é", "2"])
SCALARS = NUMBERS | TEXTS | st.none() | st.booleans()
PAYLOADS = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "n": SCALARS,
        "s": SCALARS,
        "list": st.lists(SCALARS, max_size=3),
        "in": st.fixed_dictionaries({}, optional={"n": SCALARS}),
    },
)
BOUNDS = NUMBERS | TEXTS
OPERATORS = st.fixed_dictionaries(
    {},
    optional={
        "eq": SCALARS,
        "in": st.lists(SCALARS, max_size=4),
        "exists": st.booleans(),
        **dict.fromkeys(("gt", "gte", "lt", "lte"), BOUNDS),
    },
).filter(bool)
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(["n", "s", "list", "in", "in.n", "none"]), SCALARS | OPERATORS, max_size=2),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "and": st.lists(inner, min_size=1, max_size=2),
            "or": st.lists(inner, min_size=1, max_size=2),
            "not": inner,
        },
    ),
    max_leaves=4,
)


class Worker:
    """What a process serves a database by, but in this process."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._stack = ExitStack()
        self.open()

    @property
    def collections(self) -> Collections:
        """As requests reach them."""
        return self._opened.collections

    def open(self) -> None:
        """As a process does when it starts."""
        self._opened = self._stack.enter_context(opened(self._database, Hashers(self._database.parent), threads=2))
        self._opened.load()

    def close(self) -> None:
        """As a process does when it stops."""
        self._stack.close()


class Service(RuleBasedStateMachine):
    """Two workers over one folder, with two collections, beside what these have to be."""

    filters: Bundle[dict[str, Any]] = Bundle("filters")

    def __init__(self) -> None:
        super().__init__()
        self._stack = ExitStack()
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory()))
        self._database = folder / DATABASE
        self._workers = [Worker(self._database), Worker(self._database)]
        self._oracles: dict[str, Oracle] = {}

    def teardown(self) -> None:
        """Both workers see everything that there is, before they stop, and nothing else is on disk."""
        try:
            for worker in (0, 1):
                for name, oracle in self._oracles.items():
                    query = Query("code", "00" * (oracle.bits // 8))
                    answer = self._workers[worker].collections.search(name, [query], Wanted(EVERYTHING))
                    assert answer.results == [oracle.nearest(bytes(oracle.bits // 8), EVERYTHING)]
        finally:
            for each in self._workers:
                each.close()
        with self._stack, closing(sqlite3.connect(self._database)) as connection:
            (count,) = connection.execute("SELECT count(*) FROM items").fetchone()
            assert count == sum(len(oracle.items) for oracle in self._oracles.values())

    @initialize(slack=st.sampled_from(SLACKS), index=INDEXES, other_index=INDEXES, seed=SEEDS)
    def begin(self, slack: int, index: IndexSettings, other_index: IndexSettings, seed: int) -> None:
        service.index.snapshot.SLACK = slack
        self._create(0, "one", 8, index)
        self._create(1, "two", 16, other_index)
        self._upsert(1, "one", _drawn(self._oracles["one"], 0, 100, seed))
        self._upsert(0, "two", _drawn(self._oracles["two"], 50, 80, seed))

    @initialize(target=filters)
    def usual_filters(self) -> MultipleResults[dict[str, Any]]:
        return multiple(*USUAL_FILTERS)

    @rule(target=filters, condition=FILTERS)
    def another_filter(self, condition: dict[str, Any]) -> dict[str, Any]:
        return condition

    @rule(worker=WORKERS, name=NAMES, place=PLACES, code=CODES, payload=PAYLOADS)
    def upsert_one(self, worker: int, name: str, place: int, code: bytes, payload: Any) -> None:
        self._upsert(worker, name, {IDS[place]: _held(self._oracles[name], code, payload)})

    @rule(worker=WORKERS, name=NAMES, first=PLACES, count=COUNTS, seed=SEEDS)
    def upsert_many(self, worker: int, name: str, first: int, count: int, seed: int) -> None:
        self._upsert(worker, name, _drawn(self._oracles[name], first, count, seed))

    @rule(worker=WORKERS, name=NAMES, places=st.lists(st.tuples(st.integers(0, 20), CODES, PAYLOADS), max_size=8))
    def upsert_usable(self, worker: int, name: str, places: list[tuple[int, bytes, Any]]) -> None:
        """Of several with one id the last counts; one that cannot be used is passed over."""
        oracle = self._oracles[name]
        all_held = [(IDS[place], _held(oracle, code, payload)) for place, code, payload in places]
        items = [item for item_id, held in all_held for item in _items({item_id: held})]
        faults = self._workers[worker].collections.upsert_usable(name, [Item("bad", "code", "0"), *items])
        assert list(faults) == [0]
        oracle.upsert(dict(all_held))

    @rule(worker=WORKERS, name=NAMES, first=PLACES, count=COUNTS, step=st.integers(1, 3))
    def delete(self, worker: int, name: str, first: int, count: int, step: int) -> None:
        """Many ids, of which some may be there."""
        ids = {IDS[(first + step * number) % len(IDS)] for number in range(count)}
        self._delete(worker, name, ids)

    @rule(worker=WORKERS, name=NAMES, place=PLACES)
    def delete_one(self, worker: int, name: str, place: int) -> None:
        self._delete(worker, name, {IDS[place]})

    @rule(worker=WORKERS, name=NAMES, left=FEW)
    def leave_few(self, worker: int, name: str, left: int) -> None:
        """So few that none of them has an IVF index any more."""
        gone = list(self._oracles[name].items)[left:]
        self._rest(1 - worker, name)
        # Of more removals at once everything would be read anew.
        for start in range(0, len(gone), REMOVALS_KEPT):
            self._delete(worker, name, set(gone[start : start + REMOVALS_KEPT]))
            self._rest(1 - worker, name)

    @rule(worker=WORKERS, name=NAMES, code=CODES, gone=FEW, came=FEW, first=PLACES, seed=SEEDS, limit=st.integers(1, 4))
    def replace_the_nearest(
        self, worker: int, name: str, code: bytes, gone: int, came: int, first: int, seed: int, limit: int
    ) -> None:
        """The first that an index finds are gone, others came since it was built."""
        oracle = self._oracles[name]
        self._rest(worker, name)
        self._delete(1 - worker, name, {match.id for match in oracle.nearest(code[: oracle.bits // 8], gone)})
        written = _drawn(oracle, first, came, seed)
        self._upsert(1 - worker, name, written)
        self._search(worker, name, [("code", code), *(("code", held.code) for held in written.values())], limit)

    @rule(worker=WORKERS, name=NAMES, queries=QUERIES, limit=LIMITS, max_distance=DISTANCES, rested=st.booleans())
    def search(
        self, worker: int, name: str, queries: list[Any], limit: int, max_distance: int | None, rested: bool
    ) -> None:
        if rested:
            self._rest(worker, name)
        for exact in (False, True):
            self._search(worker, name, queries, limit, max_distance, exact=exact)

    @rule(worker=WORKERS, name=NAMES, queries=QUERIES, limit=LIMITS, max_distance=DISTANCES, condition=filters)
    def search_filtered(
        self,
        worker: int,
        name: str,
        queries: list[Any],
        limit: int,
        max_distance: int | None,
        condition: dict[str, Any],
    ) -> None:
        self._search(worker, name, queries, limit, max_distance, condition)

    @rule(
        worker=WORKERS,
        name=NAMES,
        code=CODES,
        limit=st.integers(1, 4),
        condition=st.sampled_from(USUAL_FILTERS) | filters,
        first=PLACES,
        came=st.integers(0, 20),
        newest=st.booleans(),
        seed=SEEDS,
    )
    def search_filtered_again(
        self,
        worker: int,
        name: str,
        code: bytes,
        limit: int,
        condition: dict[str, Any],
        first: int,
        came: int,
        newest: bool,
        seed: int,
    ) -> None:
        """What is known of a filter is no longer so."""
        oracle = self._oracles[name]
        self._search(worker, name, [("code", code)], limit, condition=condition)
        written = _drawn(oracle, first, came, seed)
        self._upsert(1 - worker, name, written)
        queries = [("code", code), *(("code", held.code) for held in written.values())]
        self._search(worker, name, queries, limit, condition=condition)
        if newest and oracle.items:
            self._delete(1 - worker, name, {next(reversed(oracle.items))})
            self._search(worker, name, queries, limit, condition=condition)

    @rule(worker=WORKERS, name=NAMES, place=PLACES)
    def get_item(self, worker: int, name: str, place: int) -> None:
        held = self._oracles[name].items.get(IDS[place])
        if held is not None:
            assert self._workers[worker].collections.item(name, IDS[place]) == StoredItem(IDS[place], *held)
            return
        for ask in (
            lambda: self._workers[worker].collections.item(name, IDS[place]),
            lambda: self._workers[worker].collections.search(name, [Query("id", IDS[place])], Wanted(1)),
        ):
            with pytest.raises(UnknownItemError):
                ask()

    @rule(worker=WORKERS)
    def describe(self, worker: int) -> None:
        assert self._workers[worker].collections.all() == [
            Description(name, oracle.bits, None, len(oracle.items), oracle.index, "none", False)
            for name, oracle in sorted(self._oracles.items())
        ]

    @rule(worker=WORKERS, other=WORKERS, name=NAMES, index=INDEXES, rested=st.booleans())
    def change_index(self, worker: int, other: int, name: str, index: IndexSettings, rested: bool) -> None:
        if rested:
            self._rest(other, name)
        self._workers[worker].collections.change_index(name, index)
        self._oracles[name].index = index
        if rested:
            self._rest(other, name)

    @rule(which=st.sampled_from([[0], [1], [0, 1]]))
    def restart(self, which: list[int]) -> None:
        for worker in which:
            self._workers[worker].close()
        for worker in which:
            self._workers[worker].open()

    @rule(worker=WORKERS, other=WORKERS, name=NAMES, bits=BITS, index=INDEXES)
    def delete_collection(self, worker: int, other: int, name: str, bits: int, index: IndexSettings) -> None:
        """And create it anew, with nothing of what it was."""
        self._workers[worker].collections.delete(name)
        del self._oracles[name]
        with pytest.raises(UnknownCollectionError):
            self._workers[other].collections.search(name, [Query("code", "00")], Wanted(1))
        self._create(other, name, bits, index)

    @rule(name=NAMES, first=PLACES, count=COUNTS, seed=SEEDS, code=CODES, limit=LIMITS, condition=st.none() | filters)
    def search_beside_a_write(
        self, name: str, first: int, count: int, seed: int, code: bytes, limit: int, condition: dict[str, Any] | None
    ) -> None:
        """A search that runs while another worker writes sees all of that write or nothing."""
        oracle = self._oracles[name]
        held, code = _drawn(oracle, first, count, seed), code[: oracle.bits // 8]
        wanted = Wanted(limit, filter=None if condition is None else parse_filter(condition), exact=True)
        before = oracle.nearest(code, limit, condition=condition)
        with ThreadPoolExecutor(1) as threads:
            writing = threads.submit(self._workers[0].collections.upsert, name, _items(held))
            answer = self._workers[1].collections.search(name, [Query("code", code.hex())], wanted)
            writing.result()
        oracle.upsert(held)
        assert answer.results[0] in (before, oracle.nearest(code, limit, condition=condition))

    def _rest(self, worker: int, name: str) -> None:
        """Wait until all upkeep in the background is done, and not only some."""
        collections, oracle = self._workers[worker].collections, self._oracles[name]
        build, keep = (least(oracle.index, built) for built in (False, True))
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            _, state = collections.state(name)
            assert (state.count, state.settings) == (len(oracle.items), oracle.index)
            count = len(oracle.items)
            right = (build is None or count < build) if state.ivf is None else (keep is not None and count >= keep)
            if state.removed <= service.index.flat.COMPACT_FROM and right:
                break
            assert time.monotonic() < until, f"expected the index to be kept up, got {state}"
            time.sleep(0.001)
        if state.ivf is not None:
            assert (state.ivf.lists, state.ivf.probes, state.ivf.recall) == (oracle.index.lists, oracle.index.probes, 1)

    def _create(self, worker: int, name: str, bits: int, index: IndexSettings) -> None:
        created = self._workers[worker].collections.create(name, NewCollection(bits=bits, index=index))
        assert created == (Description(name, bits, None, 0, index, "none", False), True)
        self._oracles[name] = Oracle(bits, index)

    def _upsert(self, worker: int, name: str, held: dict[str, Held]) -> None:
        self._workers[worker].collections.upsert(name, _items(held))
        self._oracles[name].upsert(held)

    def _delete(self, worker: int, name: str, ids: set[str]) -> None:
        deleted = self._workers[worker].collections.delete_items(name, sorted(ids))
        assert deleted == self._oracles[name].delete(ids)

    def _search(
        self,
        worker: int,
        name: str,
        queries: list[Any],
        limit: int,
        max_distance: int | None = None,
        condition: dict[str, Any] | None = None,
        exact: bool = False,
    ) -> None:
        oracle = self._oracles[name]
        asked: list[Query] = []
        expected: list[list[Match]] = []
        for kind, value in queries:
            itself = IDS[value] if kind == "id" else None
            if itself is None:
                code = value[: oracle.bits // 8]
                asked.append(Query("code", code.hex()))
            elif itself in oracle.items:
                code = oracle.items[itself].code
                asked.append(Query("id", itself))
            else:
                continue
            expected.append(oracle.nearest(code, limit, max_distance, condition, itself))
        wanted = Wanted(limit, max_distance, None if condition is None else parse_filter(condition), exact=exact)
        answer = self._workers[worker].collections.search(name, asked, wanted)
        assert (answer.bits, answer.hasher, len(answer.results)) == (oracle.bits, None, len(asked))
        approximate = oracle.index.kind != "flat" and condition is None and not exact
        if approximate and len(oracle.items) > service.index.snapshot.SLACK:
            for found, nearest, query in zip(answer.results, expected, asked, strict=True):
                _assert_same_but_for_the_last_ties(oracle, query, found, nearest)
        else:
            assert answer.results == expected


def _assert_same_but_for_the_last_ties(oracle: Oracle, query: Query, found: list[Match], nearest: list[Match]) -> None:
    assert [match.distance for match in found] == [match.distance for match in nearest]
    last = nearest[-1].distance if nearest else 0
    assert [match for match in found if match.distance < last] == [match for match in nearest if match.distance < last]
    itself = str(query.document) if query.kind == "id" else None
    code = oracle.items[itself].code if itself else bytes.fromhex(str(query.document))
    everything = oracle.nearest(code, EVERYTHING, without=itself)
    chosen = set(found)
    assert found == [match for match in everything if match in chosen]


def _held(oracle: Oracle, code: bytes, payload: Any) -> Held:
    return Held(code[: oracle.bits // 8], None if payload is None else orjson.dumps(payload))


def _drawn(oracle: Oracle, first: int, count: int, seed: int) -> dict[str, Held]:
    """Items with ids from one place on, of few codes, and about one in three without a payload."""
    random = np.random.default_rng(seed)
    few = random.integers(0, 256, (int(random.integers(1, 30)), 2), np.uint8)
    held = {}
    for number in range(first, first + count):
        payload = {"n": int(random.integers(10)), "s": "ab"[int(random.integers(2))]} if random.random() < 0.7 else None
        held[IDS[number % len(IDS)]] = _held(oracle, random.choice(few).tobytes(), payload)
    return held


def _items(held: dict[str, Held]) -> list[Item]:
    return [Item(item_id, "code", each.code.hex(), each.payload) for item_id, each in held.items()]


@pytest.mark.timeout(3600)
def test_whatever_is_done_the_answers_are_those_of_brute_force(
    long: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service.index.snapshot, "SLACK", SLACKS[0])
    reached = make_small(monkeypatch)
    run_state_machine_as_test(
        Service,
        settings=settings(
            max_examples=LONG_EXAMPLES if long else EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            print_blob=True,
            report_multiple_bugs=False,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
    print(", ".join(f"{what}: {reached[what]}" for what in REACHED))
    assert caplog.messages == []
    # Else sizes have changed, or steps are too few, and this test no longer tests what it was made for.
    assert [what for what in REACHED if not reached[what] and (long or what not in RARE)] == []
