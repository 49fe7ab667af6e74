"""What is kept of jobs: how many, by whom, whether written into a database or into memory."""

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from service.background.queue import Orphans
from service.background.remembering import Remembering
from service.errors import ConflictError, UnknownJobError
from service.jobs.living import Living
from service.jobs.remembered import Remembered
from service.jobs.watching import Watched, Watching
from service.store import jobs
from service.store.errors import StorageFullError
from service.store.jobs import ENDED_KEPT, ItemError, Job, Kind, State
from service.store.jobs_writer import JobsWriter
from service.store.recoding_reader import RecodingReader
from service.store.writer import Writer


@pytest.fixture(params=["database", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Any, Any]]:
    """What jobs are written into, and a look at all of them."""
    if request.param == "memory":
        memory = Remembered()
        yield memory, memory.all
        return
    with closing(Writer(tmp_path / "db")) as writer, closing(RecodingReader(tmp_path / "db")) as reader:
        yield JobsWriter(writer), reader.jobs


def test_the_newest_of_each_kind_that_ended_are_kept_and_all_that_did_not(ledger: tuple[Any, Any]) -> None:
    rows, every = ledger
    first = rows.add(jobs.new("recode", "c", 1, "old", 5))
    rows.note(first.number, lambda job: replace(job, state="succeeded"))
    running = rows.add(jobs.new("import", "c", 0, "", None))
    numbers = []
    for _ in range(ENDED_KEPT + 30):
        job = rows.add(jobs.new("import", "c", 0, "", None))
        numbers.append(job.number)
        rows.note(job.number, lambda job: replace(job, state="succeeded", ended=1.0))
    assert numbers == sorted(set(numbers))
    last = rows.add(jobs.new("import", "d", 0, "", None))
    kept = [job.number for job in every()]
    assert kept == [last.number, *reversed(numbers[-ENDED_KEPT:]), running.number, first.number]
    assert rows.note(numbers[0], lambda job: job) is None


def test_the_bound_holds_as_soon_as_a_job_ends(ledger: tuple[Any, Any]) -> None:
    rows, every = ledger
    long = rows.add(jobs.new("import", "c", 0, "", None))
    numbers = [rows.add(jobs.new("import", "c", 0, "", None)).number for _ in range(ENDED_KEPT + 5)]
    # The last job to begin is the first job to end.
    for place, number in enumerate(reversed(numbers)):
        rows.note(number, lambda job, place=place: replace(job, state="failed", ended=1.0 + place))
        if place >= ENDED_KEPT - 2:
            ended = [job for job in every() if not job.unfinished]
            assert len(ended) == min(place + 1, ENDED_KEPT)
    assert {job.number for job in every()} == {long.number, *numbers[:ENDED_KEPT]}
    # The job that has just ended is kept, however long ago it began.
    rows.note(long.number, lambda job: replace(job, state="succeeded", ended=1000.0))
    assert {job.number for job in every()} == {long.number, *numbers[: ENDED_KEPT - 1]}


def test_of_several_ledgers_together_no_more_are_chosen_than_are_kept() -> None:
    ended = [
        replace(jobs.new(kind, "c", 0, "", None), number=number, state="succeeded", ended=float(number))
        for number, kind in enumerate(("import", "snapshot") * (ENDED_KEPT + 20))
    ]
    running = replace(jobs.new("import", "c", 0, "", None), number=-1, state="running")
    found = jobs.chosen([*reversed(ended), running], None, (), ())
    assert found == [*reversed(ended[40:]), running]
    assert len(jobs.chosen(reversed(ended), None, (), ("import",))) == ENDED_KEPT


def test_what_is_written_is_read_again(ledger: tuple[Any, Any]) -> None:
    rows, every = ledger
    made = rows.add(replace(jobs.new("snapshot", "c", 0, "x", None), owner="me"))
    errors = (ItemError(None, "bad", 7), ItemError("a", "worse"))
    noted = rows.note(
        made.number, lambda job: replace(job, state="running", errors=2, first_errors=errors, result={"items": 3})
    )
    assert every() == [noted]
    assert noted.first_errors == errors
    assert (noted.owner, noted.result, noted.total) == ("me", {"items": 3}, None)


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr("service.jobs.watching.monotonic", lambda: self.now)


class Counting:
    """A ledger that counts, and fails where it is told to."""

    def __init__(self) -> None:
        self.kept = Remembered()
        self.writes = 0
        self.full = False

    def add(self, job: Job) -> Job:
        return self._write(lambda: self.kept.add(job))

    def note(self, number: int, change: Any) -> Job | None:
        return self._write(lambda: self.kept.note(number, change))

    def _write(self, write: Any) -> Any:
        if self.full:
            raise StorageFullError("expected room, found none")
        self.writes += 1
        return write()


def test_it_is_written_down_from_its_first_second_on_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    short, long = (watching.watch("import", name) for name in ("short", "long"))
    clock.now += 0.9
    watching._note()
    short.end()
    watching._note()
    assert (ledger.writes, list(watching.now())) == (0, [])
    for _ in range(100):
        long.advance(1000, [ItemError(None, "bad", 1)])
        clock.now += 0.1
        watching._note()
    # Ten seconds, a write each.
    assert ledger.writes == pytest.approx(10, abs=1)
    (number,) = watching.now()
    long.end()
    (kept,) = ledger.kept.all()
    assert (kept.number, kept.state, kept.done, kept.errors) == (number, "succeeded", 100_000, 100)
    assert len(kept.first_errors) == 10
    assert (kept.rate, kept.owner) == (pytest.approx(100_000 / 10.9), "me")
    writes = ledger.writes
    watching._note()
    assert (ledger.writes, watching.now()) == (writes, {})


def test_a_full_disk_hides_nothing_and_the_end_is_written_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    watched = watching.watch("import", "c")
    clock.now += 2
    watching._note()
    ledger.full = True
    watched.advance(5)
    clock.now += 2
    watching._note()
    (job,) = (each.job for each in watching.now().values())
    assert (job.done, ledger.kept.all()[0].done) == (5, 0)
    with pytest.raises(ValueError, match="broken"), watched:
        raise ValueError("broken")
    assert ledger.kept.all()[0].state == "running"
    ledger.full = False
    watching._note()
    (kept,) = ledger.kept.all()
    assert (kept.state, kept.done, kept.detail) == ("failed", 5, "the service failed; its log says more")


def test_what_begins_on_a_full_disk_is_told_of_and_written_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    ledger.full = True
    short, goes_on, ends = (watching.watch("import", name) for name in ("short", "goes on", "ends"))
    short.end()
    assert watching.held() == []
    clock.now += 2
    watching._note()
    goes_on.advance(5)
    ends.end(StorageFullError("expected room, found none"))
    watching._note()
    told = {job.collection: job for job in watching.held()}
    assert {name: (job.state, job.done) for name, job in told.items()} == {
        "goes on": ("running", 5),
        "ends": ("failed", 0),
    }
    # Its own, and no other's.
    numbers = {name: job.number for name, job in told.items()}
    assert min(numbers.values()) > 10**12
    ledger.full = False
    watching._note()
    assert watching.held() == []
    assert [(job.collection, job.state, job.owner) for job in ledger.kept.all()] == [
        ("ends", "failed", "me"),
        ("goes on", "running", "me"),
    ]
    # By the number that was told before, too.
    written = {job.collection: job.number for job in ledger.kept.all()}
    assert {name: watching.number(number) for name, number in numbers.items()} == written
    assert watching.cancel(numbers["goes on"]).state == "cancelled"  # type: ignore[union-attr]
    clock.now += 2
    watching._note()
    with pytest.raises(ConflictError, match="was cancelled"):
        goes_on.require_going()
    goes_on.end()
    assert [(job.state, job.done) for job in ledger.kept.all()] == [("failed", 0), ("cancelled", 5)]
    watching._note()
    assert watching.now() == {}


def test_one_that_is_held_is_cancelled_and_stays_so_when_it_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    ledger.full = True
    watched, build = watching.watch("import", "c"), watching.watch("build", "c")
    clock.now += 2
    watching._note()
    (built, job) = watching.held()
    assert (built.kind, job.kind) == ("build", "import")
    with pytest.raises(ConflictError, match="can be cancelled"):
        watching.cancel(built.number)
    watching.cancel(job.number)
    with pytest.raises(ConflictError, match="was cancelled"):
        watched.require_going()
    watched.advance(7)
    watched.end()
    build.end()
    ledger.full = False
    watching._note()
    assert [(each.kind, each.state, each.done, each.detail) for each in ledger.kept.all()] == [
        ("build", "succeeded", 0, None),
        ("import", "cancelled", 7, "7 items were indexed"),
    ]


def test_who_cancels_is_told_what_its_process_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    _, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    watched = watching.queue("snapshot", "c")
    watched.start()
    watched.expect(9)
    watched.advance(4)
    # All that was written down is that it was queued.
    assert [(job.state, job.done) for job in ledger.kept.all()] == [("queued", 0)]
    told = watching.cancel(watched.job.number)
    assert told is not None
    assert (told.state, told.done, told.total, told.owner) == ("cancelled", 4, 9, "me")
    assert told.started is not None and told.ended is not None
    assert ledger.kept.all() == [told]
    with pytest.raises(ConflictError, match="is not over"):
        watching.cancel(told.number)


def test_what_could_not_be_queued_is_no_job_once_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    ledger.full = True
    with pytest.raises(StorageFullError):
        watching.queue("snapshot", "c")
    ledger.full = False
    clock.now += 2
    watching._note()
    assert (ledger.kept.all(), watching.now()) == ([], {})


@pytest.mark.parametrize("told_before", [True, False])
def test_whoever_cancels_wins_and_the_figures_are_completed(monkeypatch: pytest.MonkeyPatch, told_before: bool) -> None:
    clock, ledger = Clock(monkeypatch), Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    watched = watching.watch("import", "c")
    clock.now += 2
    watching._note()
    (number,) = watching.now()
    watched.advance(3)
    ledger.kept.note(number, jobs.cancelled)
    if told_before:
        clock.now += 2
        watching._note()
        with pytest.raises(ConflictError, match="was cancelled"):
            watched.require_going()
    ended = watched.end()
    assert (ended.state, ended.done, ended.detail) == ("cancelled", 3, "3 items were indexed")
    assert ledger.kept.all() == [ended]


def test_a_stop_waits_for_work_that_ends_and_tells_of_what_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.jobs.watching.PATIENCE_SECONDS", 0.1)
    ledger = Counting()
    watching = Watching(ledger, lambda: "me", lambda: None)
    queued, deaf = watching.queue("snapshot", "c"), watching.queue("build", "c")
    deaf.start()
    watching.close()
    assert [job.state for job in ledger.kept.all()] == ["interrupted"] * 2
    assert {job.detail.partition(":")[0] for job in ledger.kept.all() if job.detail} == {"the service stopped"}
    # What it says later changes nothing.
    assert deaf.end().state == "interrupted"
    assert [job.state for job in ledger.kept.all()] == ["interrupted"] * 2
    assert isinstance(queued, Watched)


def test_a_process_lives_until_it_is_closed_or_killed(tmp_path: Path) -> None:
    database = tmp_path / "db"
    one, other = Living(database), Living(database)
    assert one.name != other.name == other.name
    assert one.lives(one.name) and one.lives(other.name) and one.is_own(one.name)
    name = other.name
    other.close()
    assert not one.lives(name)
    program = (
        "import sys, time; from pathlib import Path; from service.jobs.living import Living\n"
        f"print(Living(Path({str(database)!r})).name, flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    name = process.stdout.readline().strip()
    assert one.lives(name)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert len(list(tmp_path.iterdir())) == 2
    # What it left is swept by the next one that begins.
    third = Living(database)
    assert third.name
    assert {path.name for path in tmp_path.iterdir()} == {f"db-owner-{each.name}" for each in (one, third)}
    assert not one.lives(name)
    one.close()
    third.close()
    assert list(tmp_path.iterdir()) == []


class NoJobs:
    """A board of no jobs that all processes share."""

    def start(self) -> None:
        pass

    def wake(self) -> None:
        pass

    def all(self, collection: str | None = None, states: Sequence[State] = (), kinds: Sequence[Kind] = ()) -> list[Job]:
        return []

    def get(self, number: int) -> Job:
        raise UnknownJobError(f"expected the id of a job that is known, got {number}")

    cancel = get


def test_orphans_are_looked_for_again_where_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    database = tmp_path / "db"
    with (
        closing(Writer(database)) as writer,
        closing(RecodingReader(database)) as reader,
        closing(Living(database)) as own,
    ):
        rows, gone = JobsWriter(writer), Living(database)
        job = rows.add(replace(jobs.new("import", "c", 0, "", None), state="running", owner=gone.name))
        orphans = Orphans(reader, rows, own)
        orphans.look()
        assert [each.state for each in reader.jobs()] == ["running"]
        gone.close()
        with monkeypatch.context() as failing:
            failing.setattr(reader, "unfinished", raising(StorageFullError("expected room, found none")))
            with pytest.raises(StorageFullError):
                orphans.look()
        # Nothing was written since: that alone is no reason to look.
        orphans.look()
        assert [(each.number, each.state) for each in reader.jobs()] == [(job.number, "interrupted")]


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*given: Any) -> Any:
        raise error

    return fail


def test_without_a_database_a_process_tells_of_its_own_beside_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Remembering(NoJobs())) as board:
        watched = board.queue("import", "c")
        watched.start()
        watched.advance(7)
        (job,) = board.all("c", ["running"], ["import"])
        assert (job.done, job.state) == (7, "running")
        assert board.all("d") == board.all(kinds=["build"]) == []
        assert board.get(job.number).done == 7
        # Of no other process's numbers, which are counted from one or from another moment.
        assert job.number > 10**12
        assert board.cancel(job.number).state == "cancelled"
        with pytest.raises(ConflictError, match="was cancelled"):
            watched.require_going()
        with pytest.raises(ConflictError, match="is not over"):
            board.cancel(job.number)
        for call in (board.get, board.cancel):
            with pytest.raises(UnknownJobError):
                call(1)
        # It was told once a second only, and is not said to run meanwhile.
        assert watched.job.state == "running"
        assert [each.state for each in board.all()] == [board.get(job.number).state] == ["cancelled"]
        # It asks nobody whether it is to go on.
        build = board.queue("build", "c").job
        with pytest.raises(ConflictError, match="can be cancelled"):
            board.cancel(build.number)
        assert board.get(build.number).state == "queued"
