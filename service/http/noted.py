"""The status of a reply, noted as it is sent."""

from starlette.types import Message, Send


class Noted:
    """Passes on what an application sends; `status` is 500 until a reply begins, as one that raises has none."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 500

    async def __call__(self, message: Message) -> None:
        """Send it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)
