"""The worker processes: started, watched, replaced when they end, and stopped together."""

import logging
import signal
import socket
from time import monotonic
from types import FrameType

import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess
from uvicorn.supervisors.multiprocess import Process

# A worker that is told to stop takes up to 6 seconds (`service.process.stopping`), and ends by itself after 9.
KILL_SECONDS = 9.5
# A worker answers from a thread that needs the interpreter's lock. A long parse, or a busy machine, keeps that for
# seconds. A worker that is silent for minutes is stuck for good.
SILENT_SECONDS = 300.0
log = logging.getLogger(__name__)


class Workers(Multiprocess):
    """Worker processes that are told to stop the moment the parent is, and then have the listening to themselves."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket]) -> None:
        hangup = signal.getsignal(signal.SIGHUP)
        super().__init__(config, sockets)
        self._told = 0.0
        # When each worker, by its number, was asked whether it lives, while it has not answered.
        self._asked: dict[int | None, float] = {}
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._pass_on)
        # `nohup` has it ignored, which the workers inherit.
        signal.signal(signal.SIGHUP, signal.SIG_IGN if hangup is signal.SIG_IGN else self._pass_on)

    def keep_subprocess_alive(self) -> None:
        """Replace the workers that have ended, and those that were silent for minutes.

        uvicorn waits for the answer of each, and kills one that is silent for 5 seconds with all its requests.
        """
        for place, worker in enumerate(self.processes):
            if self.should_exit.is_set():
                return
            if worker.process.is_alive():
                if self._answers(worker):
                    continue
                log.error("worker %s was silent for %g seconds: it is killed", worker.pid, SILENT_SECONDS)
            worker.kill()
            worker.join()
            self._asked.pop(worker.pid, None)
            if worker.exitcode == STARTUP_FAILURE:
                # The next one would fail likewise.
                log.error("worker %s could not start: the service stops", worker.pid)
                self.should_exit.set()
                return
            log.error("worker %s has ended with %s: another one is started", worker.pid, worker.exitcode)
            self.processes[place] = Process(self.config, self.sockets)
            self.processes[place].start()

    def terminate_all(self) -> None:
        """Tell them to stop, and let the port be free when the last one stops listening.

        A connection that was accepted for this process would wait until it ends, and be reset then.
        """
        super().terminate_all()
        for listening in self.sockets:
            listening.close()

    def join_all(self) -> None:
        """Wait for them to end; kill those that do not."""
        deadline = (self._told or monotonic()) + KILL_SECONDS
        for worker in self.processes:
            worker.process.join(max(0.0, deadline - monotonic()))
            if worker.exitcode is None:
                worker.kill()
        super().join_all()

    def _answers(self, worker: Process) -> bool:
        """Whether a worker has answered within `SILENT_SECONDS`; asks it once more where it has. Never waits."""
        now = monotonic()
        while worker.parent_conn.poll():
            worker.parent_conn.recv()
            self._asked.pop(worker.pid, None)
        if worker.pid not in self._asked:
            self._asked[worker.pid] = now
            worker.parent_conn.send(b"ping")
        return now - self._asked[worker.pid] < SILENT_SECONDS

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        # At once: the queue is looked at twice a second.
        self._told = self._told or monotonic()
        for worker in self.processes:
            worker.process.terminate()
        # uvicorn would replace all workers at a SIGHUP.
        self.signal_queue.append(signal.SIGTERM if number == signal.SIGHUP else number)
