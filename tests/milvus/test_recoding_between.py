"""Re-coding over a Milvus, where one transaction is several steps: written in between, cut off, several at once."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest

from service.background.coding_anew import CodingAnew
from service.coding.hashers import Hashers
from service.collections.collections import NewCollection
from service.errors import ConflictError, MissingHasherError
from service.filters import parse_filter
from service.items import Item, Query, Wanted
from service.milvus import schema
from service.milvus.address import Address
from service.milvus.connection import Connection
from service.milvus.ledger import Ledger
from service.milvus.marks import Mark, Marks
from service.milvus.opening import Opened, opened
from service.milvus.pairs import Pairs
from service.milvus.schema import stored_item
from service.milvus.table import STRONG, Table
from service.store import jobs
from tests.milvus.server import MilvusServer
from tests.recoding.calls import codes
from tests.recoding.conftest import versions

__all__ = ["versions"]
QUERY = [Query("vector", [0.5] * 12)]
T = TypeVar("T")
Vectors = dict[str, list[float]]


class KilledError(Exception):
    """The service is no more."""


class Service:
    """A service without HTTP, whose jobs are done step by step."""

    def __init__(self, parts: Opened) -> None:
        self.parts = parts
        self.collections = parts.collections
        self.recodings = parts.recodings

    def create(self, name: str, documents: Vectors) -> None:
        self.collections.create(name, NewCollection(hasher="vectors@1", keep_documents=True))
        self.upsert(name, documents)

    def upsert(self, name: str, documents: Vectors) -> None:
        self.collections.upsert(name, [Item(each, "vector", vector) for each, vector in documents.items()])

    def codes(self, name: str) -> dict[str, str]:
        return {item.id: item.code.hex() for item in self.collections.page(name, 1000, "", None)[1]}

    def mark(self, name: str) -> Mark:
        return self.recodings._required(name)

    def step(self, name: str) -> Mark | None:
        return self.recodings.step(self.mark(name))

    def finish_job(self, name: str) -> None:
        while self.mark(name).job.unfinished:
            self.step(name)

    def look_for_work(self) -> None:
        self.parts.jobs._shared._work()


@pytest.fixture
def service(milvus: MilvusServer, versions: Path) -> Iterator[Service]:
    with opened(_address(milvus), Hashers(versions)) as parts:
        yield Service(parts)


def _address(milvus: MilvusServer) -> Address:
    return Address(milvus.uri.replace("http://", "milvus://"))


def _vectors(seed: int, ids: str) -> Vectors:
    rng = np.random.default_rng(seed)
    return {each: rng.standard_normal(12).astype(np.float32).tolist() for each in ids}


def test_what_is_written_while_a_batch_is_coded_is_not_overwritten_by_it(
    service: Service, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = _vectors(0, "abcd")
    plain, times = CodingAnew.code, []

    def code(self: CodingAnew, *arguments: Any) -> Any:
        coded = plain(self, *arguments)
        if not times:
            times.append(1)
            documents.update(_vectors(1, "be"))
            service.upsert("between", {each: documents[each] for each in "be"})
            service.collections.delete_items("between", ["c"])
            del documents["c"]
        return coded

    service.create("between", documents)
    service.recodings.begin("between", "vectors@2", False)
    monkeypatch.setattr(CodingAnew, "code", code)
    service.finish_job("between")
    job = service.mark("between").job
    assert (job.state, job.done, job.errors) == ("succeeded", 4, 0)
    # Without another writer nothing is coded again.
    copied: list[Any] = []
    plain_copy = Pairs.copy
    monkeypatch.setattr(Pairs, "copy", lambda self, *given: (copied.append(given), plain_copy(self, *given))[1])
    documents.update(_vectors(2, "bf"))
    service.upsert("between", {each: documents[each] for each in "bf"})
    service.collections.delete_items("between", ["a"])
    del documents["a"]
    service.recodings.switch("between")
    assert copied == []
    assert service.codes("between") == codes(versions, "vectors@2", documents)
    service.recodings.roll_back("between")
    assert service.codes("between") == codes(versions, "vectors@1", documents)


def test_one_that_begins_or_ends_while_a_write_is_coded_has_it_written_again(
    service: Service, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = _vectors(2, "ab")
    service.create("begins", documents)
    upserts = service.collections._upserts
    plain = upserts._both
    then: list[Callable[[], object]] = []

    def both(*arguments: Any) -> Any:
        coded = plain(*arguments)
        if then:
            then.pop()()
        return coded

    monkeypatch.setattr(upserts, "_both", both)
    changes: list[Callable[[], object]] = [
        lambda: (service.recodings.begin("begins", "vectors@2", True), service.finish_job("begins")),
        lambda: service.recodings.finish("begins"),
        lambda: service.recodings.begin("begins", "vectors@1", True),
        lambda: (service.finish_job("begins"), service.recodings.roll_back("begins")),
    ]
    for turn, change in enumerate(changes):
        then.append(change)
        documents |= _vectors(3 + turn, "bc"[: 1 + turn % 2])
        service.upsert("begins", documents)
        (hasher,) = {described.hasher for described in service.collections.all() if described.name == "begins"}
        assert hasher is not None
        assert service.codes("begins") == codes(versions, hasher, documents)
    assert service.collections.get("begins").hasher == "vectors@2"


def test_what_was_written_to_one_half_alone_as_its_service_was_killed_is_made_the_same(
    service: Service, versions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = _vectors(4, "abcdefg")
    service.create("torn", documents)
    service.recodings.begin("torn", "vectors@2", False)

    def tear(seed: int, written: str, deleted: str) -> None:
        _cut_off_before_the_other_half(service, "torn", monkeypatch)
        new = _vectors(seed, written)
        with pytest.raises(KilledError):
            service.upsert("torn", new)
        with pytest.raises(KilledError):
            service.collections.delete_items("torn", [deleted])
        monkeypatch.undo()
        documents.update(new)
        del documents[deleted]

    # Before the first walk, and between the two.
    tear(5, "ah", "b")
    service.step("torn")
    assert service.step("torn") is not None
    tear(6, "ci", "d")
    service.finish_job("torn")
    mark = service.mark("torn")
    assert _codes_of(service, mark.old) == codes(versions, "vectors@1", documents)
    assert _codes_of(service, mark.new) == codes(versions, "vectors@2", documents)
    # When it is ready; what was deleted has no time of its own, so that this may be undone, as nobody acknowledged it.
    tear(7, "aj", "e")
    service.recodings.switch("torn")
    assert _but("e", service.codes("torn")) == codes(versions, "vectors@2", documents)
    tear(8, "ck", "f")
    service.recodings.roll_back("torn")
    assert _but("ef", service.codes("torn")) == codes(versions, "vectors@1", documents)


def _codes_of(service: Service, number: int) -> dict[str, str]:
    return {each: code for each, (code, _) in _held(service.recodings._pairs.table(number)).items()}


def _but(ids: str, found: dict[str, str]) -> dict[str, str]:
    return {each: code for each, code in found.items() if each not in ids}


def _cut_off_before_the_other_half(service: Service, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    named = service.recodings._row(name).number
    for method in ("upsert", "delete"):
        plain = getattr(Table, method)

        def write(self: Table, *arguments: Any, plain: Callable[..., None] = plain) -> None:
            if self.row.number != named:
                raise KilledError
            plain(self, *arguments)

        monkeypatch.setattr(Table, method, write)


def test_a_switch_and_an_end_that_were_cut_off_are_completed_by_whoever_comes_by(
    service: Service, versions: Path
) -> None:
    documents = _vectors(6, "abc")
    service.create("halfway", documents)
    for keeps, hasher in (("back", "vectors@1"), ("done", "vectors@2")):
        service.recodings.begin("halfway", "vectors@2", False)
        service.finish_job("halfway")
        assert service.recodings._marks.advance(service.mark("halfway"), "switched") is not None
        # Neither has the other's name yet.
        assert service.collections.get("halfway").hasher == "vectors@1"
        documents |= _vectors(7, "b")
        service.upsert("halfway", documents)
        service.look_for_work()
        assert service.collections.get("halfway").hasher == "vectors@2"
        assert service.codes("halfway") == codes(versions, "vectors@2", documents)
        assert service.recodings._marks.advance(service.mark("halfway"), keeps) is not None
        documents |= _vectors(8, "cd")
        service.upsert("halfway", documents)
        assert service.collections.get("halfway").hasher == hasher
        assert service.codes("halfway") == codes(versions, hasher, documents)
        service.look_for_work()
        assert service.codes("halfway") == codes(versions, hasher, documents)
        assert [mark for mark in service.recodings._marks.all() if mark.name == "halfway"] == []
        assert service.parts.jobs.all("halfway")[0].kind == "recode"


def test_of_several_that_begin_at_once_one_does(milvus: MilvusServer, versions: Path, service: Service) -> None:
    service.create("at-once", _vectors(9, "ab"))
    begun, refused = [], []
    with ExitStack() as stack:
        others = [stack.enter_context(opened(_address(milvus), Hashers(versions))) for _ in range(4)]
        for each in others:
            assert each.collections.get("at-once").count == 2

        def begin(parts: Opened) -> None:
            try:
                begun.append(parts.recodings.begin("at-once", "vectors@2", False))
            except Exception as error:
                refused.append(str(error))

        _all_at_once([lambda parts=parts: begin(parts) for parts in others])
    assert len(begun) == 1 and len(refused) == 3
    assert {each.partition("expected 'at-once' not to be under re-coding")[0] for each in refused} == {""}
    assert service.recodings.state("at-once").job == begun[0].number
    service.finish_job("at-once")
    assert service.mark("at-once").job.state == "succeeded"


def test_one_begun_while_another_one_is_taken_on_is_refused_and_leaves_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create("taken-on", _vectors(15, "ab"))
    plain = Marks.add
    first: list[jobs.Job] = []

    def add(self: Marks, mark: Mark) -> bool:
        if not first:
            first.append(jobs.new("recode", "", 0, "", 0))
            first[:] = [service.recodings.begin("taken-on", "vectors@2", False)]
            service.step("taken-on")
        return plain(self, mark)

    monkeypatch.setattr(Marks, "add", add)
    with pytest.raises(ConflictError, match="expected 'taken-on' not to be under re-coding, it is"):
        service.recodings.begin("taken-on", "vectors@3", False)
    mark = service.mark("taken-on")
    assert (mark.job.number, mark.stage) == (first[0].number, "coding")
    assert _items_of(service, "taken-on") == {mark.old, mark.new}
    assert [each.number for each in service.recodings._marks.all() if each.name == "taken-on"] == [mark.number]
    service.recodings.roll_back("taken-on")


def test_one_that_changes_its_stage_while_another_one_begins_is_no_failure_of_milvus(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.create("moves-on", _vectors(16, "ab"))
    plain_add, plain_at = Marks.add, Marks._at
    found: list[Mark | None] = []

    def add(self: Marks, mark: Mark) -> bool:
        if not found:
            found.append(None)
            service.recodings.begin("moves-on", "vectors@2", False)
            first = service.mark("moves-on")

            def at(self: Marks, name: str) -> Mark | None:
                if name == mark.milvus_name and found[0] is None:
                    found[0] = self.advance(first, "coding")
                return plain_at(self, name)

            monkeypatch.setattr(Marks, "_at", at)
        return plain_add(self, mark)

    monkeypatch.setattr(Marks, "add", add)
    with pytest.raises(ConflictError, match="expected 'moves-on' not to be under re-coding, it is"):
        service.recodings.begin("moves-on", "vectors@3", False)
    assert found[0] is not None
    assert _items_of(service, "moves-on") == {found[0].old, found[0].new}
    service.recodings.roll_back("moves-on")


def _items_of(service: Service, name: str) -> set[int]:
    """The numbers of all collections of that name, named or not."""
    connection = service.recodings._marks._connection
    made = [each for each in connection.call("list_collections") if each.startswith(schema.ITEMS)]
    rows = [schema.collection_row(connection.call("describe_collection", each)) for each in made]
    return {row.number for row in rows if row is not None and row.name == name}


def test_of_several_that_end_or_delete_at_once_one_does(service: Service) -> None:
    marks, names = service.recodings._marks, service.recodings._names
    for turn in range(2):
        service.create("ended", _vectors(20, "a"))
        service.recodings.begin("ended", "vectors@2", False)
        mark, row = service.mark("ended"), names.row("ended")
        assert row is not None
        moved = _four_at_once(partial(marks.advance, mark, "back"))
        assert sorted(each is None for each in moved) == [False, True, True, True], turn
        assert sorted(_four_at_once(partial(names.end, row))) == [False, False, False, True], turn


def test_who_was_late_with_one_that_was_given_up_does_nothing_to_the_next_one(service: Service, versions: Path) -> None:
    documents = _vectors(17, "abc")
    service.create("given-up", documents)
    for steps in (0, 2):
        job = service.recodings.begin("given-up", "vectors@2", False)
        for _ in range(steps):
            service.step("given-up")
        late = service.mark("given-up")
        # As another replica knew them, whose turn it is, and who was at other work meanwhile.
        service.recodings.roll_back("given-up")
        following = service.recodings.begin("given-up", "vectors@3", False)
        while not service.parts.jobs._shared._ledger.hold():
            # Whoever had the last turn was no process of its own, and did not give it up.
            time.sleep(0.05)
        service.parts.jobs._shared._go_on(late)
        if late.stage != "begun":
            service.recodings.step(late)
        assert service.mark("given-up").job.number == following.number != job.number
        service.finish_job("given-up")
        service.recodings.switch("given-up")
        assert service.codes("given-up") == codes(versions, "vectors@3", documents)
        service.recodings.roll_back("given-up")
        service.look_for_work()
    assert service.codes("given-up") == codes(versions, "vectors@1", documents)


def test_a_collection_that_is_part_of_a_recoding_that_nobody_knows_is_written_again(service: Service) -> None:
    service.create("forgotten", _vectors(18, "ab"))
    number = service.recodings._row("forgotten").number
    service.recodings._names.note_recoding(number, 7)
    service.upsert("forgotten", _vectors(19, "c"))
    assert sorted(service.codes("forgotten")) == ["a", "b", "c"]
    assert service.recodings._row("forgotten").recoding is None


def test_replicas_that_write_the_same_items_at_once_leave_both_halves_the_same(
    milvus: MilvusServer, versions: Path, service: Service
) -> None:
    ids = "abcdefgh"
    service.create("contended", _vectors(10, ids))
    service.recodings.begin("contended", "vectors@2", False)
    failed: list[BaseException] = []
    with ExitStack() as stack:
        replicas = [Service(stack.enter_context(opened(_address(milvus), Hashers(versions)))) for _ in range(3)]

        def write(replica: Service, seed: int) -> None:
            try:
                rng = np.random.default_rng(seed)
                for turn in range(8):
                    some = "".join(rng.choice(list(ids), 3, replace=False))
                    if turn % 4 == 3:
                        replica.collections.delete_items("contended", list(some))
                    elif turn % 4 == 1:
                        replica.collections.delete_matching("contended", parse_filter({"n": int(rng.integers(3))}))
                    else:
                        replica.upsert("contended", _vectors(int(rng.integers(2**32)), some))
            except BaseException as error:
                failed.append(error)

        writers = [lambda seed=seed, each=each: write(each, seed) for seed, each in enumerate(replicas)]
        _all_at_once([*writers, lambda: service.finish_job("contended")])
        # And again, around a switch.
        _all_at_once([*writers, lambda: service.recodings.switch("contended")])
    assert failed == []
    mark = service.mark("contended")
    old, new = (_held(service.recodings._pairs.table(number)) for number in (mark.old, mark.new))
    assert old.keys() == new.keys()
    vectors = {each: document for each, (_, document) in old.items()}
    assert {each: code for each, (code, _) in old.items()} == codes(versions, "vectors@1", vectors)
    assert {each: code for each, (code, _) in new.items()} == codes(versions, "vectors@2", vectors)


def _held(table: Table) -> dict[str, tuple[str, list[float]]]:
    items = [stored_item(row) for row in table.query("", ["id", "code", "document"], 100, STRONG)]
    return {item.id: (item.code.hex(), np.frombuffer((item.document or b"")[1:], "<f4").tolist()) for item in items}


def _four_at_once(call: Callable[[], T]) -> list[T]:
    results: list[T] = []
    _all_at_once([lambda: results.append(call())] * 4)
    return results


def _all_at_once(calls: list[Callable[[], object]]) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def test_the_turn_to_do_the_jobs_is_one_replicas(milvus: MilvusServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.milvus.ledger.RENEWED_EACH_SECONDS", 0)
    monkeypatch.setattr("service.milvus.ledger.LEASE_SECONDS", 0.5)
    with ExitStack() as stack:
        ledgers = []
        for _ in range(5):
            connection = Connection(_address(milvus))
            stack.callback(connection.close)
            ledgers.append(Ledger(connection))
        held: list[Ledger] = []
        while not held:
            # Until whoever had the last turn is known to be gone.
            _all_at_once([lambda each=each: held.append(each) if each.hold() else None for each in ledgers])
        (first,) = held
        second = next(each for each in ledgers if each is not first)
        job = _over(7)
        assert first.hold() and not second.hold()
        assert first.archive([job]) and first.ended()[0] == job
        # It gives no sign of life any more.
        while not second.hold():
            time.sleep(0.05)
        assert not first.archive([_over(8)]) and not first.hold()
        assert second.archive([_over(9)])
        assert first.ended()[:2] == [_over(9), _over(7)]
        second.release()
        assert first.hold() and not second.hold()
        first.release()


def _over(number: int) -> jobs.Job:
    return jobs.Job(10**17 + number, "recode", "turns", 0, "", 0, 1.0, "succeeded")


def test_a_replica_that_lacks_the_new_hasher_leaves_the_job_to_one_that_has_it(
    milvus: MilvusServer, versions: Path, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.milvus.ledger.LEASE_SECONDS", 0.5)
    documents = _vectors(13, "abc")
    service.create("lacking", documents)
    job = service.recodings.begin("lacking", "vectors@2", True)
    (tmp_path / "vectors@1").symlink_to(versions / "vectors@1")
    with opened(_address(milvus), Hashers(tmp_path)) as lacking:
        lacking.jobs.start()
        while not (told := lacking.jobs.get(job.number)).waits_for:
            time.sleep(0.02)
        assert told.waits_for.startswith("Missing hasher: collection 'lacking' needs hasher vectors@2")
        assert [match.id for match in lacking.collections.search("lacking", QUERY, Wanted(9)).results[0]]
        # A write has to be coded by both, a deletion has not.
        with pytest.raises(MissingHasherError):
            Service(lacking).upsert("lacking", documents)
        assert lacking.collections.delete_items("lacking", ["a"]) == 1
        del documents["a"]
        service.parts.jobs.start()
        while lacking.jobs.get(job.number).unfinished:
            time.sleep(0.02)
    assert service.parts.jobs.get(job.number).state == "succeeded"
    assert service.codes("lacking") == codes(versions, "vectors@2", documents)
