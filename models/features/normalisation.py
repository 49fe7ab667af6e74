"""Text normalisation: texts that a person cannot tell apart become the same text."""

import re
import unicodedata
from typing import Literal

from models.errors import InvalidInputError
from models.features.base import CardSettings

# Unicode's Default_Ignorable_Code_Point; controls that are no white space; the annotations U+FFF9 to U+FFFB and the
# format controls of hieroglyphs. Written out, so that a newer Unicode in Python does not change codes.
_INVISIBLE = (
    (0x0000, 0x0008), (0x000E, 0x001B), (0x007F, 0x0084), (0x0086, 0x009F), (0x00AD, 0x00AD), (0x034F, 0x034F),
    (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E),
    (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB),
    (0x13430, 0x1343F), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
INVISIBLE = re.compile("[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _INVISIBLE) + "]+")
# Characters of combining class 0 whose decomposition begins with a combining mark.
_DECOMPOSE_TO_MARKS = frozenset("\u0f73\u0f75\u0f81\uff9e\uff9f")
# Python puts a run of marks in order in quadratic time: 100,000 of them take 15 seconds.
MOST_MARKS = 256
# Each round makes the text stable against one more combination of the steps; two are enough for all known texts.
_ROUNDS = 8

CASES = ("folded", "kept")


class Normalisation(CardSettings):
    """What is done to a text before its features are taken; the defaults are those of new hashers."""

    unicode: Literal["NFKC"] = "NFKC"
    invisible: Literal["removed"] = "removed"
    white_space: Literal["one space"] = "one space"
    case: Literal["folded", "kept"] = "folded"

    def apply(self, text: str) -> str:
        """The normalised text: normalising it again changes nothing. Up to 18 times as long.

        Raises InvalidInputError for a run of combining marks that no script has.
        """
        if not text.isascii():
            _require_few_marks(text)
        for _ in range(_ROUNDS):
            before, text = text, self._round(text)
            if text == before:
                break
        return text

    def _round(self, text: str) -> str:
        text = unicodedata.normalize("NFKC", INVISIBLE.sub("", text))
        if self.case == "folded":
            text = unicodedata.normalize("NFKC", text.casefold())
        return " ".join(INVISIBLE.sub("", text).split())


def _require_few_marks(text: str) -> None:
    run = 0
    for character in INVISIBLE.sub("", text):
        if unicodedata.combining(character) or character in _DECOMPOSE_TO_MARKS:
            run += 1
            if run > MOST_MARKS:
                raise InvalidInputError(f"expected at most {MOST_MARKS} combining marks in a row, got more")
        else:
            run = 0
