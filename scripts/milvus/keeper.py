"""Runs a Milvus server, tells when it is ready, and ends with it: started by server.py, as a file of its own.

In a network namespace it also passes connections on: a socket belongs to the namespace in which it was made, so the one
that is inherited here listens outside, and what it accepts is connected to the server inside.
"""

import argparse
import asyncio
import ctypes
import fcntl
import http.client
import os
import signal
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

PR_SET_PDEATHSIG = 1
SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
CHUNK = 1 << 18


def main() -> None:
    """Read the options, then run until the server ends or whoever holds the other end of stdin does."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--health", type=int, required=True, help="the server's port for /healthz")
    parser.add_argument("--port", type=int, required=True, help="the server's own port")
    parser.add_argument("--listening", type=int, help="a listening socket of another network namespace")
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    sys.exit(asyncio.run(keep(options.command, options.port, options.health, options.listening)))


async def keep(command: list[str], port: int, health: int, listening: int | None) -> int:
    """Exit status of the server: it is killed when stdin ends, and ends with this process whatever happens."""
    if listening is not None:
        bring_loopback_up()
        await asyncio.start_server(relay_to(port), sock=socket.socket(fileno=listening))
    server = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=sys.stderr,
        # The other end of our output is at its end once nobody holds this one: neither we nor the server.
        pass_fds=[os.dup(sys.stdout.fileno())],
        preexec_fn=die_with_parent,
    )
    ended = asyncio.ensure_future(server.wait())
    left = asyncio.ensure_future(until_stdin_ends())
    ready = asyncio.ensure_future(tell_when_healthy(health))
    await asyncio.wait([ended, left], return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if not ended.done():
        server.kill()
    return await ended


async def until_stdin_ends() -> None:
    """Return when nobody is left who could write to it."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


def die_with_parent() -> None:
    """In the child, before it becomes the server: no server outlives its keeper, not even one that was killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def bring_loopback_up() -> None:
    """A new network namespace has a loopback interface that is down; what `ip link set lo up` does, without it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as interfaces:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(interfaces, SIOCGIFFLAGS, request))
        fcntl.ioctl(interfaces, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def relay_to(port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    """What to do with each connection from outside: bytes both ways; it is closed where the server is down."""

    async def relay(outer_reader: asyncio.StreamReader, outer_writer: asyncio.StreamWriter) -> None:
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            outer_writer.close()
            return
        await asyncio.gather(copy(outer_reader, inner_writer), copy(inner_reader, outer_writer))

    return relay


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """All that comes, until one side ends; then the other side is ended too."""
    with suppress(OSError):
        while chunk := await reader.read(CHUNK):
            writer.write(chunk)
            await writer.drain()
    writer.close()


async def tell_when_healthy(port: int) -> None:
    """Write a line to stdout once the server says that all its parts are healthy."""
    while not await asyncio.to_thread(healthy, port):
        await asyncio.sleep(0.05)
    print("ready", flush=True)


def healthy(port: int) -> bool:
    """Whether /healthz says OK: it is asked without a proxy, whatever the environment names."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    main()
