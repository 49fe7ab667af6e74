"""Documents, and what has one: items and queries."""

from pydantic import BaseModel, ConfigDict, Field, model_validator

from models.features import Document as AnyDocument
from service import items
from service.http.schemas.fields import GivenPayload, Id, Image, NewId, Strict, Vector

KINDS: tuple[items.Kind, ...] = ("text", "image", "vector", "code")


class Original(Strict):
    """Exactly one of its kinds, none of which is a code."""

    text: str | None = Field(None, description="for a hasher of texts")
    image: Image | None = Field(None, description="PNG, JPEG, WebP, GIF, BMP or TIFF, as base64")
    vector: Vector | None = Field(None, description="finite numbers, as many as the hasher takes")

    @model_validator(mode="after")
    def _one(self) -> "Original":
        # Looked up at once, as a million items of an import are.
        values = self.__dict__
        given = [kind for kind in self.kinds() if values[kind] is not None]
        if len(given) != 1:
            came = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of {', '.join(self.kinds())}, got {came}")
        return self

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """What a document may be."""
        return KINDS[:-1]

    def document(self) -> tuple[items.Kind, AnyDocument]:
        """The one kind that was given, with its document."""
        values = self.__dict__
        for kind in KINDS:
            if (value := values.get(kind)) is not None:
                return kind, value
        raise AssertionError("validated to have one")


class Document(Original):
    """Exactly one of its kinds."""

    code: str | None = Field(None, description="hex: byte i of the packed code is digits 2i and 2i + 1")

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """What a document may be."""
        return KINDS


class KeptDocument(BaseModel):
    """A document as it was given: a text, an image as base64, or a vector as float32."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "red running shoes"}]})
    text: str | None = Field(None, description="as it was given")
    image: str | None = Field(None, description="the very bytes that were given, as base64")
    vector: list[float] | None = Field(None, description="as float32")


class Item(Document):
    """What is indexed: an id, a document, and a payload that comes back with matches.

    A code may come with what another collection kept beside it.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"id": "a1", "text": "red running shoes", "payload": {"price": 30}}]}
    )
    id: NewId
    payload: GivenPayload | None = Field(None, description="comes back with matches, and is what a filter looks at")
    features: Vector | None = Field(None, description="beside a code, where the collection keeps them: as `with` tells")
    kept_document: Original | None = Field(
        None, alias="document", description="beside a code, where the collection keeps them: as `with` tells"
    )

    @model_validator(mode="after")
    def _beside_a_code(self) -> "Item":
        values = self.__dict__
        if values["code"] is None:
            for name, value in (("features", values["features"]), ("document", values["kept_document"])):
                if value is not None:
                    raise ValueError(f"expected {name} beside a code only, got it beside {self.document()[0]}")
        return self

    def item(self) -> items.Item:
        """The service's own item."""
        kind, document = self.document()
        kept = self.kept_document
        if self.features is None and kept is None:
            return items.Item(self.id, kind, document, self.payload)
        beside = items.Kept(self.features, None if kept is None else kept.document())
        return items.Item(self.id, kind, document, self.payload, beside)


class Query(Document):
    """A document, or the id of an item of the collection."""

    id: Id | None = Field(None, description="of an item of the collection, which does not find itself")

    @classmethod
    def kinds(cls) -> tuple[str, ...]:
        """A query may be an id, too."""
        return (*KINDS, "id")

    def query(self) -> items.Query:
        """The service's own query."""
        return items.Query("id", self.id) if self.id is not None else items.Query(*self.document())
