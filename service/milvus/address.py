"""Where a Milvus is, and as whom to talk to it."""

from dataclasses import dataclass, field
from pathlib import Path

from service.settings import Settings

TLS = "milvus+tls://"
PLAIN = "milvus://"


@dataclass(frozen=True)
class Address:
    """`store` is `milvus://host:port`, or `milvus+tls://host:port`; `certificate` is of whom the server's is signed."""

    store: str
    token: str | None = field(default=None, repr=False)
    database: str | None = None
    certificate: Path | None = None
    seconds: float = 10.0

    @property
    def uri(self) -> str:
        """As the client wants it."""
        if self.store.startswith(TLS):
            return "https://" + self.store.removeprefix(TLS)
        return "http://" + self.store.removeprefix(PLAIN)


def configured(settings: Settings) -> Address:
    """The address that settings with such a store name."""
    given = settings.store_token, settings.store_database, settings.store_certificate, settings.store_seconds
    return Address(settings.store, *given)
