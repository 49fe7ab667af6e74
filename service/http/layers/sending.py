"""Replies on their way to clients that may not read them: sent in pieces, and counted until they are sent."""

from starlette.types import Message, Scope, Send

from service.http.layers.held import Charge, HeldBytes
from service.http.replies.reply import CHARGE

# Of a reply, sent at once: what a connection holds that its client does not read is about twice as much.
PIECE_BYTES = 2**16
KEY = "hammingway.must_be_sent"


def require_sent(scope: Scope) -> None:
    """Have the reply to a request sent whatever is held: it tells of something that was done, and is bounded."""
    scope[KEY] = True


class Sending:
    """Sends one reply: `start` and `body` take the messages of an application.

    The head waits for the first of the body. One that comes whole and is large is counted until it is sent: where
    replies are too much together, BusyError is raised, and nothing of this one was sent.
    """

    def __init__(self, send: Send, budget: HeldBytes, scope: Scope) -> None:
        self._send = send
        self._budget = budget
        self._scope = scope
        self._head: Message | None = None

    def start(self, head: Message) -> None:
        """Keep the head of a reply until there is something of its body."""
        self._head = head

    async def body(self, message: Message) -> None:
        """Send a part of a body; raises BusyError where it is the first of a reply that there is no room for."""
        content: bytes = message.get("body", b"")
        if len(content) <= PIECE_BYTES:
            await self._send_head()
            await self._send(message)
            return
        more = message.get("more_body", False)
        counted: Charge | None = self._scope.pop(CHARGE, None)
        charge = counted or self._budget.charge()
        if counted is not None:
            # In the thread that made it.
            pass
        elif self._head is None or more or self._scope.get(KEY, False):
            # It has begun already, or comes in parts, each of which is sent before the next one is made.
            charge.add_always(len(content))
        else:
            charge.add(len(content))
        await self._send_head()
        # The server waits before each message until the client has taken most of those before.
        for start in range(0, len(content), PIECE_BYTES):
            last = start + PIECE_BYTES >= len(content)
            piece = content[start : start + PIECE_BYTES]
            await self._send({**message, "body": piece, "more_body": more or not last})
        charge.release()

    async def _send_head(self) -> None:
        if self._head is not None:
            head, self._head = self._head, None
            await self._send(head)
