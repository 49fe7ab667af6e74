"""The schema of a hasher's card: checked before any other file of its folder is opened.

A folder may have been prepared by anybody, and its checksums then fit whatever it says. So nothing on a card is used
before its type and range are known.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from models.codes import LONGEST_CODE_BITS
from models.errors import InvalidInputError
from models.versions import NAME

FORMAT = 2
# Of 1: before texts were normalised; its features have no `extractor` and no `normalisation`.
OLDEST_FORMAT = 1
MOST_FILES = 64
LONGEST_ECHO = 80
CARD = "hasher.json"

FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Strict(BaseModel):
    """A part of a card: nothing is converted, 8.0 is no whole number and true is none."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True, hide_input_in_errors=True)


class Features(Strict):
    """How a document becomes numbers; the extractor of the modality checks its own settings, and refuses others."""

    modality: Literal["vector", "image", "text"]


class Described(Strict):
    """What a hasher is made from; training adds what it noted, which is shown and never computed with.

    Members that are not known are kept: cards of earlier and later versions have others.
    """

    name: Annotated[str, Field(pattern=f"^(?:{NAME.pattern})$")]
    version: Annotated[int, Field(ge=1, le=999_999_999)]
    modality: Literal["vector", "image", "text"]
    bits: Annotated[int, Field(ge=8, le=LONGEST_CODE_BITS, multiple_of=8)]
    objective: Annotated[str, Field(min_length=1, max_length=64)]
    features: Features

    @model_validator(mode="after")
    def _one_modality(self) -> "Described":
        if self.features.modality != self.modality:
            raise ValueError(f"expected features of {self.modality}, got {self.features.modality}")
        return self


class Card(Described):
    """A whole card, as it is read from a folder: also the files, each with its SHA-256."""

    format: Annotated[int, Field(ge=OLDEST_FORMAT, le=FORMAT)]
    files: Annotated[dict[FileName, Sha256], Field(max_length=MOST_FILES)]

    @model_validator(mode="after")
    def _without_itself(self) -> "Card":
        if CARD in self.files:
            raise ValueError(f"expected other files than {CARD} itself")
        return self


def require_described(card: Mapping[str, Any]) -> None:
    """Raise InvalidInputError, which names the member, unless a hasher can be made from a card."""
    _require(Described, card)


def require_card(card: Mapping[str, Any]) -> None:
    """Raise InvalidInputError, which names the member, unless a card that was read can be used and shown."""
    _require(Card, card)
    try:
        # As the service shows it: what training noted may be anything else that JSON can hold.
        orjson.dumps(card)
    except orjson.JSONEncodeError as error:
        raise InvalidInputError(f"expected a card that can be shown as JSON: {error}") from None


def _require(model: type[Described], card: Mapping[str, Any]) -> None:
    try:
        model.model_validate(card)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "/".join(map(str, first["loc"]))[:LONGEST_ECHO]
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] != "value_error":
            message = f"expected: {message}, got {_echo(first['input'])}"
        raise InvalidInputError(message, where or None) from None


def _echo(value: object) -> str:
    shown = json.dumps(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return shown if len(shown) <= LONGEST_ECHO else shown[:LONGEST_ECHO] + "..."
