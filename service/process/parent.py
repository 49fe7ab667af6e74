"""A worker process stops when the process that started it is gone, however that ended.

Killed, a parent tells nobody. Its workers would go on with nobody to stop them, and keep the port from the service that
is started in its place.
"""

import logging
import multiprocessing
import os
import signal
import threading
from multiprocessing import connection

log = logging.getLogger(__name__)


def stop_with_parent() -> None:
    """In a worker process, have it told to stop as soon as its parent is gone; elsewhere nothing happens."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_outlive, args=(parent.sentinel,), name="parent", daemon=True).start()


def _outlive(sentinel: int) -> None:
    connection.wait([sentinel])
    log.error("the service stops, as the process that started this worker is gone")
    os.kill(os.getpid(), signal.SIGTERM)
