"""The fixtures of the tests of faults: a service as a process, `--long`, `--seed`."""

from tests.faults.conftest import long, seed, start

__all__ = ["long", "seed", "start"]
