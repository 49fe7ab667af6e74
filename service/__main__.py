"""Start the service: `python -m service --help`. Every option is an environment variable, too: HAMMINGWAY_PORT."""

import ipaddress
import os
import sys
from importlib.util import find_spec

from pydantic import ValidationError
from pydantic_settings import CliApp, CliSettingsSource

from models.errors import HammingwayError, InvalidInputError
from service.http.replies.wording import told
from service.keys import parse_keys
from service.process.server import serve
from service.settings import Settings
from service.store.errors import DamagedStoreError
from service.store.writer import Writer

WRONG_SETTINGS = 2
FAILED = 1


def main() -> None:
    """Read the settings once, and hand them to the worker processes through the environment."""
    try:
        source = CliSettingsSource[Settings](
            Settings, cli_prog_name="python -m service", cli_kebab_case=True, cli_implicit_flags=True
        )
        settings = CliApp.run(Settings, cli_settings_source=source)
    except ValidationError as error:
        for fault in error.errors():
            name = "/".join(str(part) for part in fault["loc"])
            print(f"error: {name}: {told(fault)}", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    _require_keys(settings)
    _require_traces(settings)
    # Before any worker process starts: several would tell several times, and the parent would exit with 0.
    if settings.embedded:
        _require_data(settings)
    else:
        _require_client()
    os.environ.update(settings.environment())
    serve(settings)


def _require_data(settings: Settings) -> None:
    """Exit where the data folder cannot be used."""
    try:
        settings.data.mkdir(parents=True, exist_ok=True)
        Writer(settings.database).close()
    except DamagedStoreError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(FAILED)
    except (HammingwayError, OSError) as error:
        print(f"error: expected --data to be a folder that can be written to: {error}", file=sys.stderr)
        sys.exit(FAILED)


def _require_client() -> None:
    """Exit where Milvus is asked for, and its client is not installed."""
    if find_spec("pymilvus") is None:
        print('error: expected the client of Milvus to be installed: pip install "hammingway[milvus]"', file=sys.stderr)
        sys.exit(WRONG_SETTINGS)


def _require_keys(settings: Settings) -> None:
    """Exit where the keys cannot be read, or where everyone on the network could do everything without any."""
    try:
        keys = parse_keys(settings.keys)
    except InvalidInputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    if keys or _is_this_machine(settings.host):
        return
    if not settings.allow_open:
        print(
            f"error: expected API keys to listen on {settings.host}, as without them whoever reaches it may read and "
            "delete everything: --keys (python -m scripts.key makes one), --host 127.0.0.1, or --allow-open",
            file=sys.stderr,
        )
        sys.exit(WRONG_SETTINGS)
    print(f"warning: open to whoever reaches {settings.host}:{settings.port}, as there are no keys", file=sys.stderr)


def _require_traces(settings: Settings) -> None:
    """Exit where traces are asked for, and what makes them is not installed."""
    if settings.traces_endpoint is None:
        return
    # Not known, nor imported, where nobody asks for it.
    from service.telemetry.traces import require_installed

    try:
        require_installed()
    except InvalidInputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)


def _is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    main()
