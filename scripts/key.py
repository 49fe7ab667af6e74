"""Make an API key: prints the key, which is kept nowhere, and the line that lets it in."""

import argparse

from scripts.console import run
from service.keys import ROLES, line, new_key


def main() -> None:
    """Two lines on standard output: the key for who asks, the hash for the service."""
    parser = argparse.ArgumentParser(prog="python -m scripts.key", description=__doc__)
    parser.add_argument("role", choices=ROLES, help="what it may do; admin includes write, which includes read")
    role = ROLES[parser.parse_args().role]
    key = new_key()
    print(f"key, shown only now: {key}")
    print(f"for HAMMINGWAY_KEYS: {line(role, key)}")


if __name__ == "__main__":
    run(main)
