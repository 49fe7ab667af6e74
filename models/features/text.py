"""What all extractors for text share: which texts they take, normalised and bounded."""

from models.errors import InvalidInputError
from models.features.base import MAX_CHARACTERS, Document, Features
from models.features.normalisation import Normalisation


class TextTooLongError(InvalidInputError):
    """A text with more characters than are read."""

    status = 413
    title = "Text too long"


# How much longer than a text what a tokenizer makes of it may be before shorter texts only are taken.
USUAL_GROWTH = 16


class TextFeatures(Features):
    """Base of the extractors for text; `normalisation` is None for hashers that were made before there was one.

    `growth` is how many times as long their tokenizer may make a text: one that was prepared may double it many times.
    """

    modality = "text"
    growth = 1

    def __init__(self, normalisation: Normalisation | None, max_characters: int = MAX_CHARACTERS) -> None:
        self.normalisation = normalisation
        self.max_characters = max_characters

    def limit(self, max_characters: int, max_pixels: int) -> None:
        """Refuse longer texts than this, before and after normalisation."""
        self.max_characters = max_characters

    def text(self, document: Document | object) -> str:
        """The normalised text of a document; raises InvalidInputError where it is none, too long or empty."""
        if not isinstance(document, str):
            raise InvalidInputError(f"expected a text, got {type(document).__name__}")
        if len(document) > self.max_characters:
            raise TextTooLongError(f"expected a text of at most {self.max_characters} characters, got {len(document)}")
        try:
            document.encode()
        except UnicodeEncodeError:
            raise InvalidInputError("expected Unicode text, got a lone surrogate") from None
        text = document if self.normalisation is None else self.normalisation.apply(document)
        if len(text) > self.max_characters:
            raise TextTooLongError(
                f"expected a text of at most {self.max_characters} characters when normalised, got {len(text)}"
            )
        if self.growth > USUAL_GROWTH and len(text) > (most := USUAL_GROWTH * self.max_characters // self.growth):
            raise TextTooLongError(
                f"expected a text of at most {most} characters for a tokenizer that may make it {self.growth} times as "
                f"long, got {len(text)}"
            )
        if not text.strip():
            raise InvalidInputError("expected a text with at least one word, got an empty one")
        return text
