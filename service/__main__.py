"""Start the service: `python -m service --help`. Every option is an environment variable, too: HAMMINGWAY_PORT."""

import os
import sys

from pydantic import ValidationError
from pydantic_settings import CliApp, CliSettingsSource

from models.errors import HammingwayError
from service.server import serve
from service.settings import Settings
from service.store.writer import Writer

WRONG_SETTINGS = 2
FAILED = 1


def main() -> None:
    """Read the settings once, and hand them to the worker processes through the environment."""
    try:
        source = CliSettingsSource[Settings](Settings, cli_prog_name="python -m service", cli_kebab_case=True)
        settings = CliApp.run(Settings, cli_settings_source=source)
    except ValidationError as error:
        for fault in error.errors():
            name = "/".join(str(part) for part in fault["loc"])
            print(f"error: {name}: {fault['msg']}, got {fault['input']!r}", file=sys.stderr)
        sys.exit(WRONG_SETTINGS)
    try:
        # Before any worker process starts: several would tell several times, and the parent would exit with 0.
        settings.data.mkdir(parents=True, exist_ok=True)
        Writer(settings.database).close()
    except (HammingwayError, OSError) as error:
        print(f"error: expected --data to be a folder that can be written to: {error}", file=sys.stderr)
        sys.exit(FAILED)
    os.environ.update(settings.environment())
    serve(settings)


if __name__ == "__main__":
    main()
