"""How much of all bodies is in memory at one time: each is bounded by itself, and any number may come at once."""

from starlette.types import Scope

from service.errors import BusyError

KEY = "hammingway.held"


class HeldBodies:
    """Bytes of bodies, counted as they come, until their requests are answered. For one event loop."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0

    def add(self, scope: Scope, count: int) -> None:
        """Count so many bytes more of a request's body; raises BusyError where that is too much beside the others'.

        One that is alone is bounded by itself.
        """
        own: int = scope.get(KEY, 0)
        if self._bytes + count > self._most and self._bytes > own:
            raise BusyError(f"expected at most {self._most} bytes of bodies at one time, got more: try again")
        self._bytes += count
        scope[KEY] = own + count

    def release(self, scope: Scope) -> None:
        """Count a request's body no more."""
        self._bytes -= scope.pop(KEY, 0)
