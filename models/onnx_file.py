"""Refuses ONNX files that name other files, before ONNX Runtime sees them.

A tensor may be "external": a name of a file to read it from, which ONNX Runtime looks for from the working directory
where a graph comes as bytes. So the file's protocol buffers are walked, and any tensor that says so is an error,
wherever it stands: in the graph, in the graphs of loops and branches, in functions, in attributes, in sparse tensors.

Only the structure is read, as it is written on the wire (protobuf.dev/programming-guides/encoding); field numbers are
those of onnx.proto.
"""

from models.errors import InvalidInputError

# By message: its fields that lead to a tensor, and the messages that they hold.
LEADS: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        **{5: "TensorProto", 6: "GraphProto", 10: "TensorProto", 11: "GraphProto"},
        **{22: "SparseTensorProto", 23: "SparseTensorProto"},
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
EXTERNAL_DATA, DATA_LOCATION = 13, 14
MOST_DEPTH = 64
MOST_FIELDS = 2_000_000
MOST_VARINT_BYTES = 10
VARINT, FIXED_64, LENGTH, FIXED_32 = 0, 1, 2, 5


def require_self_contained(graph: bytes) -> None:
    """Raise InvalidInputError unless bytes are an ONNX model all of whose tensors are in it."""
    _Walk(graph).message("ModelProto", 0, len(graph), 0)


class _Walk:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._fields = 0

    def message(self, kind: str, at: int, end: int, depth: int) -> None:
        """Walk a message that lies between two places."""
        if depth > MOST_DEPTH:
            raise InvalidInputError(f"expected an ONNX model nested at most {MOST_DEPTH} deep, got a deeper one")
        leads = LEADS[kind]
        while at < end:
            self._fields += 1
            if self._fields > MOST_FIELDS:
                raise InvalidInputError(f"expected an ONNX model of at most {MOST_FIELDS} fields, got more")
            tag, at = self._varint(at, end)
            field, wire = tag >> 3, tag & 7
            if not 0 < field < 2**29:
                raise _malformed()
            value, start, at = self._value(wire, at, end)
            if kind == "TensorProto" and (field == EXTERNAL_DATA or (field == DATA_LOCATION and value != 0)):
                raise InvalidInputError("expected an ONNX model with all its tensors, got one that names other files")
            if field in leads and wire == LENGTH:
                self.message(leads[field], start, at, depth + 1)

    def _value(self, wire: int, at: int, end: int) -> tuple[int | None, int, int]:
        """The number of a field if it is a varint, where its value begins, and where it ends."""
        value: int | None = None
        start = at
        if wire == VARINT:
            value, at = self._varint(at, end)
        elif wire == FIXED_64:
            at += 8
        elif wire == FIXED_32:
            at += 4
        elif wire == LENGTH:
            length, start = self._varint(at, end)
            at = start + length
        else:
            # Groups, which ONNX has none of.
            raise _malformed()
        if at > end:
            raise _malformed()
        return value, start, at

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        number = 0
        for place, byte in enumerate(self._content[at : min(end, at + MOST_VARINT_BYTES)]):
            number |= (byte & 0x7F) << (7 * place)
            if byte < 0x80:
                return number, at + place + 1
        raise _malformed()


def _malformed() -> InvalidInputError:
    return InvalidInputError("expected an ONNX model, got something else")
