"""How commands reach the service: by `--url`, or HAMMINGWAY_URL; with the API key in HAMMINGWAY_API_KEY, if any."""

import argparse
import os

from service.client import Client

URL = "http://127.0.0.1:8000"
URL_VARIABLE = "HAMMINGWAY_URL"
# No option: what stands on a command line, everyone on the machine can read.
KEY_VARIABLE = "HAMMINGWAY_API_KEY"
# Of the other service, where a command talks to two.
TARGET_KEY_VARIABLE = "HAMMINGWAY_TARGET_API_KEY"


def add_service_option(parser: argparse.ArgumentParser) -> None:
    """The option `--url`."""
    default = os.environ.get(URL_VARIABLE) or URL
    parser.add_argument("--url", default=default, help=f"of the service (default {URL_VARIABLE}, or {URL})")


def connect(url: str, key_variable: str = KEY_VARIABLE) -> Client:
    """A client of the service; raises InvalidInputError for a URL or a key that cannot be one."""
    return Client(url, key=os.environ.get(key_variable) or None)
