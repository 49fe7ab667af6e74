"""Exit code 0 if the service of this container is ready, 1 if not: what Docker's HEALTHCHECK runs."""

import sys

from service.client import Client
from service.settings import Settings


def main() -> None:
    """Asks on this machine, whatever address the service listens on."""
    with Client(f"http://127.0.0.1:{Settings().port}") as client:
        sys.exit(0 if client.ready() else 1)


if __name__ == "__main__":
    main()
