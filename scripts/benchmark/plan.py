"""What one run measures: how many codes of which kinds, and how often each thing is repeated."""

from dataclasses import dataclass
from pathlib import Path

K = 10
CLIENTS = 16
CLIENT_PROCESSES = 2


@dataclass(frozen=True)
class Case:
    """Codes of one kind (`uniform` or `clustered`) and one length."""

    data: str
    bits: int

    def __str__(self) -> str:
        return f"{self.data} {self.bits}"


@dataclass(frozen=True)
class Plan:
    """`seconds` is how long each load of many clients lasts, `rounds` how often it alternates with raw FAISS."""

    items: int
    data: tuple[str, ...]
    bits: tuple[int, ...]
    folder: Path
    queries: int
    seconds: float
    rounds: int
    deletes: int

    @property
    def cases(self) -> list[Case]:
        """Every length of every kind."""
        return [Case(data, bits) for data in self.data for bits in self.bits]

    @property
    def main(self) -> Case:
        """Where one case has to do: clustered codes, as real ones are, of 128 bits, or what is nearest to it."""
        data = "clustered" if "clustered" in self.data else self.data[0]
        return Case(data, min(self.bits, key=lambda bits: abs(bits - 128)))


def plan(items: int, data: list[str], bits: list[int], folder: Path, quick: bool) -> Plan:
    """The whole plan, or with `quick` one with fewer repeats."""
    queries, seconds, rounds = (100, 0.5, 2) if quick else (300, 1.0, 3)
    deletes = min(items // 10, 1000 if quick else 10_000)
    return Plan(items, tuple(data), tuple(bits), folder, queries, seconds, rounds, deletes)
