"""What every extractor offers, and how its settings on the card are checked."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InvalidInputError

Document = str | bytes | list[float] | NDArray[Any]
Files = Mapping[str, bytes]
MAX_CHARACTERS = 100_000
MAX_PIXELS = 50_000_000
# A row of so many float32 numbers is 16 MiB.
MOST_DIMENSIONS = 2**22
Dimension = Annotated[int, Field(ge=1, le=MOST_DIMENSIONS)]


def go_on() -> None:
    """Do nothing: the work goes on."""


class Extracted(NamedTuple):
    """Features (n, d) float32 of n documents, and what is wrong with bad ones, by place; their rows are zeros."""

    rows: NDArray[np.float32]
    faults: dict[int, InvalidInputError]


class Features(ABC):
    """Base of the extractors: one with its settings and files; safe to use from many threads.

    A row depends on its document alone, to the byte: never on the other documents of a call, nor on threads.
    """

    name: ClassVar[str]
    modality: ClassVar[str]
    dimension: int
    """Length of a row."""

    @classmethod
    @abstractmethod
    def load(cls, settings: Mapping[str, Any], files: Files) -> Self:
        """Restore from the settings on a card and the files beside it; raises InvalidInputError for wrong settings."""

    @abstractmethod
    def row(self, document: Document, query: bool = False) -> NDArray[np.float32]:
        """Features (dimension,) float32 of one document; raises InvalidInputError where it cannot be used.

        `query`: the document is what is searched for. Some text encoders put other words before a query.
        """

    def rows(self, documents: Sequence[Document], query: bool = False, going: Callable[[], None] = go_on) -> Extracted:
        """Features of many documents, the same rows as one at a time.

        `going` is called before each piece of work; what it raises ends the work.
        """
        rows = np.zeros((len(documents), self.dimension), np.float32)
        faults: dict[int, InvalidInputError] = {}
        for place, document in enumerate(documents):
            going()
            try:
                rows[place] = self.row(document, query)
            except InvalidInputError as error:
                faults[place] = error
        return Extracted(rows, faults)

    @property
    def step(self) -> int:
        """How many documents are best extracted at a time, at most."""
        return 1

    def check(self, document: Document) -> None:
        """Raise InvalidInputError where the document cannot be used; does not run a neural network."""
        self.row(document)

    def limit(self, max_characters: int, max_pixels: int) -> None:
        """Refuse longer texts and larger images than these; does nothing where documents are neither."""
        return

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What to write on the card so that `load` restores the extractor."""

    def files(self) -> dict[str, bytes]:
        """Files, by name, that belong beside the card."""
        return {}


class CardSettings(BaseModel):
    """Base of the settings of one extractor, as its card has them: no other keys, no other types."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Source(CardSettings):
    """Where a pretrained encoder is from, as its package or folder says; empty where it says nothing."""

    name: str = ""
    maker: str = ""
    licence: str = ""


S = TypeVar("S", bound=CardSettings)


def parse_settings(model: type[S], settings: Mapping[str, Any]) -> S:
    """The settings of a card as `model`; raises InvalidInputError that names the first wrong one."""
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(("features", *map(str, first["loc"])))
        came = "nothing" if first["type"] == "missing" else repr(first["input"])[:80]
        raise InvalidInputError(f"{where} on the card: expected {first['msg']}, got {came}") from None
