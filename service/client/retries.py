"""When a call is made again, and after how long: pure, so that both clients decide alike."""

from dataclasses import dataclass
from email.utils import parsedate_to_datetime

import httpx

# Too busy, not ready, about to stop: another attempt, maybe by another process, may do.
WORTH_ANOTHER = (429, 503)
# The service was not reached: it has not done anything either.
NOT_REACHED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)


@dataclass(frozen=True)
class Retries:
    """Waits double from `first_seconds` up to `most_seconds`, and each is cut at random, so that clients spread.

    `attempts` counts the first; of a service that is not reached, or does not answer, `connection_attempts` does.
    """

    attempts: int = 8
    connection_attempts: int = 4
    first_seconds: float = 0.1
    most_seconds: float = 10.0
    # A Retry-After beyond this is told to the caller, not waited for.
    longest_seconds: float = 60.0

    def after_reply(self, made: int, status: int, retry_after: float | None, chance: float) -> float | None:
        """Seconds to wait after a reply to the last of `made` attempts, `retry_after` at least; None: it is final.

        `chance` is uniform in [0, 1).
        """
        if status not in WORTH_ANOTHER or made >= self.attempts or (retry_after or 0) > self.longest_seconds:
            return None
        return (retry_after or 0) + self._backoff(made) * chance

    def after_error(self, made: int, error: Exception, repeatable: bool, chance: float) -> float | None:
        """Seconds to wait where no reply came to the last of `made` attempts; None: it is final.

        A call that is not `repeatable` may have been done: it is repeated only if the service was not reached. One that
        timed out is not: it would time out again.
        """
        lost = isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError) and repeatable
        if made >= self.connection_attempts or not (lost or isinstance(error, NOT_REACHED)):
            return None
        return self._backoff(made) * chance

    def _backoff(self, made: int) -> float:
        return min(self.most_seconds, self.first_seconds * 2.0 ** min(made - 1, 32))


def seconds_asked(retry_after: str | None, now: float) -> float | None:
    """The seconds of a Retry-After, which may also be a date (RFC 9110, 10.2.3); None where it is neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        return max(0.0, parsedate_to_datetime(retry_after).timestamp() - now)
    except ValueError:
        return None
