"""Bodies with a Content-Encoding: inflated as they arrive, in small steps, within a bound on what they may become."""

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from backports import zstd
from fastapi import Request
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from service.errors import InvalidEncodingError, TooLargeError, UnsupportedEncodingError
from service.http.layers.held import Charge, charge_of
from service.threads.runs import AbandonedError

ENCODINGS = ("gzip", "zstd")
# What one turn of the event loop inflates at most: a fifth of a millisecond. A thread's turn costs as much.
STEP_BYTES = 2**16
# 8 MiB, as RFC 9659 has it for HTTP: a frame may ask for gigabytes.
ZSTD_WINDOW_LOG = 23
# By event loop.
_turns: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = WeakKeyDictionary()
GZIP_WINDOW_LOG = zlib.MAX_WBITS
GZIP = 16 + GZIP_WINDOW_LOG


@dataclass(frozen=True)
class Bound:
    """A body may become `free` bytes, and more only if no more than `ratio` times what came; None: not more at all."""

    free: int
    ratio: int | None = None

    def require(self, came: int, became: int) -> None:
        """Raise TooLargeError where `came` bytes became too many."""
        if self.ratio is None:
            if max(came, became) > self.free:
                raise TooLargeError(f"expected a body of at most {self.free} bytes once inflated, got more")
        elif became > max(self.free, self.ratio * came):
            raise TooLargeError(
                f"expected a byte of a body to become at most {self.ratio} once inflated, got {came} become {became}"
            )


def inflated(request: Request, bound: Bound) -> AsyncIterator[bytes]:
    """The chunks of a body, without its Content-Encoding.

    Raises UnsupportedEncodingError at once; while it is read, InvalidEncodingError where it is damaged or breaks off,
    TooLargeError as soon as it becomes more than `bound` allows, and AbandonedError where the client goes away. What is
    not encoded is not bounded here.
    """
    encoding = content_encoding(request.headers)
    if encoding is None:
        return _chunks(request)
    return inflate(_chunks(request), encoding, bound, charge_of(request.scope))


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise AbandonedError("expected the whole body, the client went away") from None


def content_encoding(headers: Headers) -> str | None:
    """The one Content-Encoding of a body, None where it has none; raises UnsupportedEncodingError."""
    given = ",".join(headers.getlist("content-encoding"))
    encodings = [each.strip().lower() for each in given.split(",")] if given.strip() else []
    match [each for each in encodings if each != "identity"]:
        case []:
            return None
        case ["gzip" | "x-gzip"]:
            return "gzip"
        case ["zstd"]:
            return "zstd"
        case _:
            expected = f"expected no Content-Encoding, or one of {' and '.join(ENCODINGS)}"
            raise UnsupportedEncodingError(f"{expected}, got {given[:80]!r}")


async def inflate(chunks: AsyncIterable[bytes], encoding: str, bound: Bound, charge: Charge) -> AsyncIterator[bytes]:
    """What encoded chunks become, in pieces of at most `STEP_BYTES`; other tasks get their turn between them.

    `charge` holds what was inflated last, which zstd refers to, until the end; raises BusyError.
    """
    turns = _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())
    inflater = Inflater(encoding)
    became = window = 0
    async for chunk in chunks:
        inflater.feed(chunk)
        while inflater.has_more():
            # One step of all bodies together in each turn of the event loop: else a turn grows with their number.
            async with turns:
                piece = inflater.step()
                await asyncio.sleep(0)
            became += len(piece)
            bound.require(inflater.taken, became)
            if window < (needed := min(became, inflater.window_bytes)):
                charge.add(needed - window)
                window = needed
            if piece:
                yield piece
    inflater.finish()
    charge.add(-window)


class Inflater:
    """Concatenated gzip members or zstd frames, fed in chunks and inflated in steps."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding
        # How much of what was inflated is kept to refer to, at most.
        self.window_bytes = 2**GZIP_WINDOW_LOG if encoding == "gzip" else 2**ZSTD_WINDOW_LOG
        self._came = 0
        self._chunk = b""
        self._taken = 0
        self._unit: _GzipMember | _ZstdFrame | None = None

    def feed(self, chunk: bytes) -> None:
        """Take the next chunk, once the one before has nothing more to give."""
        self._came += len(chunk)
        self._chunk, self._taken = chunk, 0

    @property
    def taken(self) -> int:
        """How many bytes were inflated so far, of those that came."""
        return self._came - len(self._chunk) + self._taken

    def has_more(self) -> bool:
        """Whether a step may give something before the next chunk comes."""
        return self._taken < len(self._chunk) or (self._unit is not None and self._unit.holds_output)

    def step(self) -> bytes:
        """What comes next of one member or frame, at most `STEP_BYTES`; raises InvalidEncodingError."""
        unit = self._unit or (_GzipMember() if self._encoding == "gzip" else _ZstdFrame())
        given = self._chunk[self._taken : self._taken + STEP_BYTES]
        try:
            piece, left = unit.inflate(given)
        except (zlib.error, zstd.ZstdError) as error:
            raise InvalidEncodingError(
                f"expected {self._encoding}, as Content-Encoding says, got something else within the first "
                f"{self._came} bytes: {error}"
            ) from None
        self._taken += len(given) - left
        self._unit = None if unit.ended else unit
        return piece

    def finish(self) -> None:
        """Raise InvalidEncodingError where the body broke off."""
        if self._unit is not None or not self._came:
            came = f"{self._came} bytes that break off" if self._came else "nothing"
            raise InvalidEncodingError(f"expected {self._encoding} to its end, got {came}")


class _GzipMember:
    # But for less than one match, which comes with the next of the input: a member ends with its checksum.
    holds_output = False

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(GZIP)

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    def inflate(self, data: bytes) -> tuple[bytes, int]:
        """A piece, and how many bytes of the data were not taken."""
        piece = self._inflate.decompress(data, STEP_BYTES)
        return piece, len(self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail)


class _ZstdFrame:
    def __init__(self) -> None:
        self._inflate = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: ZSTD_WINDOW_LOG})

    @property
    def ended(self) -> bool:
        return self._inflate.eof

    @property
    def holds_output(self) -> bool:
        return not self._inflate.eof and not self._inflate.needs_input

    def inflate(self, data: bytes) -> tuple[bytes, int]:
        """A piece, and how many bytes of the data were not taken."""
        # What it has no room for it keeps, and gives next.
        held = b"" if self.holds_output else data
        piece = self._inflate.decompress(held, STEP_BYTES)
        return piece, len(data) - len(held) + len(self._inflate.unused_data)
