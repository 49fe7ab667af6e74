"""Memory that requests hold, counted for all of them together: each is bounded by itself, and any number may come.

A budget counts bytes of bodies as they come and, by an estimate, what they become when they are parsed. Another one
counts replies until they are sent.
"""

import threading
from collections.abc import MutableMapping
from typing import Any

from service.errors import BusyError

KEY = "hammingway.held"


class Charge:
    """What one request holds of a budget; given back by `release`, or when nothing refers to it any more.

    So what a thread works at after its request was cut off is counted until the thread lets go of it. Thread-safe.
    """

    def __init__(self, budget: "HeldBytes") -> None:
        self._budget = budget
        self.bytes = 0
        self.closed = False

    def add(self, count: int) -> None:
        """Hold so many bytes more, or less where negative; raises BusyError where the budget has no room for them."""
        self._budget.change(self, count)

    def add_always(self, count: int) -> None:
        """Hold so many bytes more, whatever the others hold."""
        self._budget.change(self, count, always=True)

    def release(self) -> None:
        """Hold nothing any more, whatever is added afterwards."""
        self._budget.close(self)

    def __del__(self) -> None:
        self.release()


class HeldBytes:
    """A budget of bytes for what all requests of a process hold at one time. Thread-safe."""

    def __init__(self, most: int, what: str) -> None:
        """`what` is held, in words, for the error: `bodies`."""
        self._most = most
        self._what = what
        self._bytes = 0
        # A charge may be collected, and so released, wherever Python looks for garbage: also in here.
        self._lock = threading.RLock()

    @property
    def bytes(self) -> int:
        """How much is held now."""
        return self._bytes

    def charge(self) -> Charge:
        """A charge that holds nothing yet."""
        return Charge(self)

    def taken(self, count: int) -> Charge:
        """A charge that holds so many bytes; raises BusyError as `change`."""
        charge = self.charge()
        charge.add(count)
        return charge

    def change(self, charge: Charge, count: int, always: bool = False) -> None:
        """Count so many bytes more of a charge; raises BusyError where that is too much beside the others'.

        One that is alone is bounded by itself. `always` raises nothing.
        """
        with self._lock:
            if charge.closed:
                return
            if not always and count > 0 and self._bytes + count > self._most and self._bytes > charge.bytes:
                raise BusyError(f"expected at most {self._most} bytes of {self._what} at one time, got more: try again")
            self._bytes += count
            charge.bytes += count

    def close(self, charge: Charge) -> None:
        """Count a charge no more."""
        with self._lock:
            self._bytes -= charge.bytes
            charge.bytes, charge.closed = 0, True


def charge_of(scope: MutableMapping[str, Any]) -> Charge:
    """What a request holds of the budget of bodies."""
    charge: Charge = scope[KEY]
    return charge


def begin(scope: MutableMapping[str, Any], budget: HeldBytes) -> None:
    """Count what a request holds from now on."""
    scope[KEY] = budget.charge()


def release(scope: MutableMapping[str, Any]) -> None:
    """Count a request's body no more: it was answered."""
    charge: Charge | None = scope.pop(KEY, None)
    if charge is not None:
        charge.release()


def leave(scope: MutableMapping[str, Any]) -> None:
    """Count a request's body as long as a thread still works at it: the request was cut off."""
    scope.pop(KEY, None)
