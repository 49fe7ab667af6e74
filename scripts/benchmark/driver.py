"""One process of the load's clients: connections that never rest, driven by one loop."""

import pickle  # nosec B403  # between our own processes
import select
import socket
import sys
import time
from collections.abc import Callable

from scripts.benchmark.client import END, RECEIVE_BYTES, HttpError, length_of
from scripts.benchmark.load import READY, Counted, Order


def drive(order: Order, begin: Callable[[], None]) -> Counted:
    """Keep every connection busy for so many seconds from when `begin` returns; the client itself takes one thread."""
    counted, poll = Counted(), select.epoll()
    connections = {each.fileno(): each for each in (_connect(order.port) for _ in range(order.connections))}
    for descriptor in connections:
        poll.register(descriptor, select.EPOLLIN)
    received = {descriptor: bytearray() for descriptor in connections}
    asked, sent = dict.fromkeys(connections, 0), dict.fromkeys(connections, 0.0)
    place = order.first
    begin()
    cpu, began = time.process_time(), time.perf_counter()
    until = began + order.seconds

    def ask(descriptor: int) -> None:
        nonlocal place
        asked[descriptor] = place % len(order.requests)
        place += 1
        sent[descriptor] = time.perf_counter()
        connections[descriptor].sendall(order.requests[asked[descriptor]])

    for descriptor in connections:
        ask(descriptor)
    while (now := time.perf_counter()) < until:
        for descriptor, _ in poll.poll(until - now):
            reply = received[descriptor]
            more = connections[descriptor].recv(RECEIVE_BYTES)
            if not more:
                raise HttpError(f"expected a reply, the service closed the connection after {bytes(reply)[:200]!r}")
            reply += more
            length = length_of(reply)
            if length is not None and len(reply) >= length:
                counted.latencies.append(time.perf_counter() - sent[descriptor])
                _look_at(counted, asked[descriptor], bytes(reply))
                reply.clear()
                ask(descriptor)
    counted.seconds, counted.cpu_seconds = time.perf_counter() - began, time.process_time() - cpu
    for connection in connections.values():
        connection.close()
    return counted


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=120)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _look_at(counted: Counted, place: int, reply: bytes) -> None:
    body = reply[reply.find(END) + len(END) :]
    if reply[9:10] != b"2":
        counted.failed.append(reply)
    elif counted.bodies.setdefault(place, body) != body:
        counted.changed += 1


def _work() -> None:
    order = pickle.load(sys.stdin.buffer)  # nosec B301  # between our own processes

    def begin() -> None:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
        sys.stdin.buffer.readline()

    pickle.dump(drive(order, begin), sys.stdout.buffer)


if __name__ == "__main__":
    _work()
