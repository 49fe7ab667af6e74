"""How much work the documents of one request may be: their pixels and their characters, known before any is decoded."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.features import Document
from models.features.image import pixels_of
from service.errors import TooLargeError
from service.items import Item, Kind

Given = tuple[Kind, Document]


@dataclass(frozen=True)
class Budget:
    """The most pixels and characters of all documents together; None for any number."""

    pixels: int | None = None
    characters: int | None = None

    def require(self, documents: Sequence[Given]) -> None:
        """Raise TooLargeError, which says what came, where the documents are too much together."""
        pixels, characters = self._sizes(documents)
        if self.pixels is not None and pixels > self.pixels:
            raise TooLargeError(f"expected at most {self.pixels} pixels in all images of a request, got {pixels}")
        if self.characters is not None and characters > self.characters:
            raise TooLargeError(
                f"expected at most {self.characters} characters in all texts of a request, got {characters}"
            )

    def parts(self, items: Sequence[Item]) -> Iterator[slice]:
        """Items that follow each other, as many together as are within the budget; one at least."""
        start, used = 0, (0, 0)
        for place, item in enumerate(items):
            pixels, characters = self._sizes(documents_of([item]))
            used = used[0] + pixels, used[1] + characters
            if place > start and (used[0] > (self.pixels or used[0]) or used[1] > (self.characters or used[1])):
                yield slice(start, place)
                start, used = place, (pixels, characters)
        if start < len(items):
            yield slice(start, len(items))

    def _sizes(self, documents: Sequence[Given]) -> tuple[int, int]:
        pixels = characters = 0
        for kind, document in documents:
            if kind == "image" and self.pixels is not None and isinstance(document, bytes):
                pixels += pixels_of(document)
            elif kind == "text" and isinstance(document, str):
                characters += len(document)
        return pixels, characters


UNLIMITED = Budget()


def documents_of(items: Sequence[Item]) -> list[Given]:
    """All documents of items: what each is, and what it brings along to be kept, which is looked at as well."""
    own = [(item.kind, item.document) for item in items]
    return own + [item.kept.document for item in items if item.kept.document is not None]
