"""Folders of hashers that somebody prepared: each that is bad is bad alone, and reads nothing beyond itself.

Checksums are no defence here: whoever prepares a folder writes those that fit.
"""

import hashlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor
from onnx import TensorProto, helper, numpy_helper

from models.card import CARD
from models.errors import InvalidInputError
from models.features.tokenizing import load_tokenizer
from models.folder import DamagedHasherError
from models.graph import Graph, SlowGraphError
from models.hasher import DECODER, ENCODER, Hasher
from models.onnx_file import LEADS, require_self_contained
from service.coding import hashers as loading
from service.coding.hashers import Hashers
from service.settings import Settings
from service.store.reader import Reader
from service.store.schema import CollectionSettings, IndexSettings
from service.store.writer import Writer
from tests.serving import running

DIMENSION = 4
BITS = 8
SECRET = np.arange(1, 1 + DIMENSION * BITS, dtype=np.float32)
GOOD = "good@1"
Folder = Callable[..., Path]


def model(graph: onnx.GraphProto, **more: Any) -> bytes:
    serialized: bytes = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, **more
    ).SerializeToString()
    return serialized


def values(name: str, width: int | str, rows: int | str = "n", kind: int = TensorProto.FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, [rows, width])


def linear(inputs: int = DIMENSION, outputs: int = BITS, value: float | None = None) -> bytes:
    weights = np.random.default_rng(0).standard_normal((inputs, outputs)).astype(np.float32)
    if value is not None:
        weights[:] = value
    node = helper.make_node("MatMul", ["input", "weights"], ["output"])
    tensors = [numpy_helper.from_array(weights, "weights")]
    return model(helper.make_graph([node], "linear", [values("input", inputs)], [values("output", outputs)], tensors))


@pytest.fixture
def prepare(tmp_path: Path) -> Folder:
    """Writes a folder with checksums that fit, as whoever prepares one would."""

    def write(
        name: str = "bad@1",
        card: dict[str, Any] | None = None,
        files: dict[str, bytes] | None = None,
        drop: tuple[str, ...] = (),
        sums: dict[str, str] | None = None,
    ) -> Path:
        folder = tmp_path / "hashers" / name
        folder.mkdir(parents=True)
        content = {ENCODER: linear(), DECODER: linear(BITS, DIMENSION), **(files or {})}
        for file, held in content.items():
            (folder / file).write_bytes(held)
        whole: dict[str, Any] = {
            **{"format": 1, "name": name.partition("@")[0], "version": int(name.partition("@")[2])},
            **{"modality": "vector", "bits": BITS, "objective": "hashing"},
            "features": {"modality": "vector", "dimension": DIMENSION, "scale": "none"},
            "files": {file: hashlib.sha256(held).hexdigest() for file, held in content.items()} | (sums or {}),
        } | (card or {})
        seal(folder, {key: value for key, value in whole.items() if key not in drop})
        return folder

    return write


def seal(folder: Path, card: dict[str, Any]) -> None:
    digest = hashlib.sha256(json.dumps(card, sort_keys=True).encode()).hexdigest()
    (folder / CARD).write_text(json.dumps({**card, "sha256": digest}, sort_keys=True, indent=2) + "\n")


def test_a_folder_as_the_others_are_made_from_is_good(prepare: Folder) -> None:
    hasher = Hasher.load(prepare(GOOD))
    assert hasher.encode([[1.0, 2.0, 3.0, 4.0]]).shape == (1, 1)


VECTOR = {"modality": "vector", "dimension": DIMENSION, "scale": "none"}
CARDS: dict[str, dict[str, Any]] = {
    "bits as a float": {"bits": 8.0},
    "bits as text": {"bits": "8"},
    "bits as a truth": {"bits": True},
    "bits that fill no byte": {"bits": 12},
    "no bits": {"bits": 0},
    "fewer bits than none": {"bits": -8},
    "bits beyond what a collection takes": {"bits": 8192},
    "bits beyond 64 bits": {"bits": 2**70},
    "a name that is a path": {"name": "../bad"},
    "a name that ends in a newline": {"name": "bad\n"},
    "another name": {"name": "good"},
    "a version as a float": {"version": 1.0},
    "a version as a truth": {"version": True},
    "version 0": {"version": 0},
    "another version": {"version": 2},
    "another format": {"format": 3},
    "a format as a float": {"format": 1.0},
    "a format as a truth": {"format": True},
    "a modality that there is not": {"modality": "smell"},
    "two modalities": {"modality": "text"},
    "an objective that is a number": {"objective": 7},
    "an objective of a megabyte": {"objective": "x" * 100_000},
    "features that are a list": {"features": ["vector"]},
    "features without a modality": {"features": {"dimension": DIMENSION}},
    "features of a setting that is not known": {"features": {**VECTOR, "lowercase": True}},
    "a dimension as a float": {"features": {**VECTOR, "dimension": 4.0}},
    "a dimension below 1": {"features": {**VECTOR, "dimension": 0}},
    "a dimension that no memory holds": {"features": {**VECTOR, "dimension": 2**40}},
    "a scale that there is not": {"features": {**VECTOR, "scale": "log"}},
    "a scale that is a list": {"features": {**VECTOR, "scale": []}},
    "a picture that no memory holds": {
        "modality": "image",
        "features": {"modality": "image", "width": 60_000, "height": 60_000, "mode": "RGB"},
    },
    "files that are a list": {"files": [ENCODER, DECODER]},
    "files without checksums": {"files": {ENCODER: None, DECODER: None}},
    "no files": {"files": {}},
    "more files than there can be": {"files": {f"{n}.bin": "0" * 64 for n in range(1000)}},
    "a number that JSON's readers refuse": {"data": {"items": 10**100}},
    "half of a character": {"data": {"name": "\ud800"}},
}


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_checked_by_a_strict_schema(prepare: Folder, name: str) -> None:
    prepare(card=CARDS[name])
    with pytest.raises(DamagedHasherError, match="bad@1"):
        Hashers(prepare(GOOD).parent).get("bad@1")


@pytest.mark.parametrize("member", ["format", "name", "version", "modality", "bits", "objective", "features", "files"])
def test_a_card_without_a_member_is_none(prepare: Folder, member: str) -> None:
    with pytest.raises(DamagedHasherError, match="bad@1"):
        Hasher.load(prepare(drop=(member,)))


def test_a_card_may_tell_more_than_is_known_of(prepare: Folder) -> None:
    card = {"maker": "somebody", "metrics": {"loss": float("nan")}, "losses": [[[]]], "training": None}
    assert Hasher.load(prepare(GOOD, card=card)).card["maker"] == "somebody"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"null",
        b"[]",
        b"7",
        b'"card"',
        b"{",
        b"\xff\xfe{",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        b" " * (2 * 2**20),
        b'{"bits": 8, "bits": 16}\n',
    ],
    ids=lambda content: content[:12].decode("latin-1") + f"_{len(content)}",
)
def test_what_is_no_card_is_told(prepare: Folder, content: bytes) -> None:
    folder = prepare()
    (folder / CARD).write_bytes(content)
    with pytest.raises(DamagedHasherError, match=CARD):
        Hasher.load(folder)


def test_a_card_that_is_nested_deeply_and_fits_its_checksum_is_told(prepare: Folder) -> None:
    nested: list[Any] = []
    for _ in range(400):
        nested = [nested]
    with pytest.raises(DamagedHasherError, match=CARD):
        Hasher.load(prepare(card={"data": nested}))


@pytest.mark.parametrize(
    "name", ["/etc/hostname", "../secret", "a/../../secret", "", ".", "..", "./encoder.onnx", "a\nb", "a\0b", "é", CARD]
)
def test_files_lie_in_the_folder_itself(prepare: Folder, tmp_path: Path, name: str) -> None:
    (tmp_path / "hashers").mkdir()
    (tmp_path / "hashers" / "secret").write_bytes(b"secret")
    folder = prepare(sums={name: hashlib.sha256(b"secret").hexdigest()})
    with pytest.raises(DamagedHasherError, match=CARD):
        Hasher.load(folder)


def _link_out(path: Path) -> None:
    path.rename(path.parent.parent / "outside")
    path.symlink_to(path.parent.parent / "outside")


def _link_inside(path: Path) -> None:
    path.rename(path.parent / "inside")
    path.symlink_to("inside")


def _socket(path: Path) -> None:
    path.unlink()
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def _replace(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def replace(path: Path) -> None:
        path.unlink()
        make(path)

    return replace


NO_FILES: dict[str, Callable[[Path], None]] = {
    "a FIFO": _replace(os.mkfifo),
    "a folder": _replace(Path.mkdir),
    "a socket": _socket,
    "a link out of it": _link_out,
    "a link within it": _link_inside,
    "a link to nothing": _replace(lambda path: path.symlink_to("nothing")),
    "a link to itself": _replace(lambda path: path.symlink_to(path.name)),
    "a link to a device": _replace(lambda path: path.symlink_to("/dev/zero")),
    "nothing": Path.unlink,
}


@pytest.mark.parametrize("file", [CARD, ENCODER, DECODER])
@pytest.mark.parametrize("kind", NO_FILES)
def test_only_regular_files_are_opened_and_nothing_is_waited_for(prepare: Folder, kind: str, file: str) -> None:
    folder = prepare()
    NO_FILES[kind](folder / file)
    started = time.monotonic()
    with pytest.raises(DamagedHasherError, match=file):
        Hasher.load(folder)
    assert time.monotonic() - started < 10


def test_no_more_bytes_are_read_than_allowed(prepare: Folder) -> None:
    folder = prepare()
    with (folder / ENCODER).open("r+b") as file:
        # A hole: a terabyte that takes no room on disk.
        file.truncate(2**40)
    with pytest.raises(DamagedHasherError, match=f"{ENCODER} to have at most"):
        Hasher.load(folder, most_bytes=2**20)
    # Of all files together: the first leaves 10 bytes for the second.
    with pytest.raises(DamagedHasherError, match=f"{ENCODER} to have at most 10 bytes"):
        Hasher.load(prepare("good@2"), most_bytes=len(linear(BITS, DIMENSION)) + 10)


def external(location: str) -> TensorProto:
    tensor = TensorProto(name="weights", data_type=TensorProto.FLOAT, dims=[DIMENSION, BITS])
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(SECRET.nbytes))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def _in_graph(tensor: TensorProto) -> bytes:
    node = helper.make_node("MatMul", ["input", "weights"], ["output"])
    return model(helper.make_graph([node], "g", [values("input", DIMENSION)], [values("output", BITS)], [tensor]))


def _in_constant(tensor: TensorProto) -> bytes:
    nodes = [
        helper.make_node("Constant", [], ["weights"], value=tensor),
        helper.make_node("MatMul", ["input", "weights"], ["output"]),
    ]
    return model(helper.make_graph(nodes, "g", [values("input", DIMENSION)], [values("output", BITS)]))


def _in_branch(tensor: TensorProto) -> bytes:
    def branch(name: str) -> onnx.GraphProto:
        node = helper.make_node("MatMul", ["input", "weights"], [name])
        return helper.make_graph([node], name, [], [values(name, BITS)], [tensor])

    node = helper.make_node("If", ["yes"], ["output"], then_branch=branch("a"), else_branch=branch("b"))
    yes = numpy_helper.from_array(np.array(True), "yes")
    return model(helper.make_graph([node], "g", [values("input", DIMENSION)], [values("output", BITS)], [yes]))


def _in_function(tensor: TensorProto) -> bytes:
    nodes = [
        helper.make_node("Constant", [], ["weights"], value=tensor),
        helper.make_node("MatMul", ["x", "weights"], ["y"]),
    ]
    function = helper.make_function("mine", "F", ["x"], ["y"], nodes, [helper.make_opsetid("", 17)])
    node = helper.make_node("F", ["input"], ["output"], domain="mine")
    graph = helper.make_graph([node], "g", [values("input", DIMENSION)], [values("output", BITS)])
    made = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("mine", 1)],
        ir_version=8,
        functions=[function],
    )
    serialized: bytes = made.SerializeToString()
    return serialized


def _sparse(tensor: TensorProto) -> bytes:
    made = onnx.load_from_string(_in_graph(tensor))
    del made.graph.initializer[:]
    sparse = made.graph.sparse_initializer.add(dims=[DIMENSION, BITS])
    tensor.ClearField("dims")
    tensor.dims.append(DIMENSION * BITS)
    sparse.values.CopyFrom(tensor)
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(DIMENSION * BITS), "indices"))
    serialized: bytes = made.SerializeToString()
    return serialized


def _in_training(tensor: TensorProto) -> bytes:
    made = onnx.load_from_string(linear())
    made.training_info.add().initialization.initializer.append(tensor)
    serialized: bytes = made.SerializeToString()
    return serialized


def _said_twice(tensor: TensorProto) -> bytes:
    # A message that comes twice is merged: the second half is what makes the tensor external.
    made = onnx.load_from_string(_in_graph(tensor))
    half = onnx.ModelProto()
    half.graph.CopyFrom(made.graph)
    made.ClearField("graph")
    serialized: bytes = made.SerializeToString() + half.SerializeToString()
    return serialized


PLACES = {
    "graph": _in_graph,
    "constant": _in_constant,
    "branch": _in_branch,
    "function": _in_function,
    "sparse": _sparse,
    "training": _in_training,
    "merged": _said_twice,
}


@pytest.mark.parametrize(
    "location", ["secret.bin", "./secret.bin", "../here/secret.bin", "ABSOLUTE", "../../secret.bin"]
)
@pytest.mark.parametrize("place", PLACES)
def test_external_data_is_refused_wherever_it_stands(
    prepare: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, location: str
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    (here / "secret.bin").write_bytes(SECRET.tobytes())
    monkeypatch.chdir(here)
    graph = PLACES[place](external(str(here / "secret.bin") if location == "ABSOLUTE" else location))
    folder = prepare(files={ENCODER: graph})
    (folder / "secret.bin").write_bytes(SECRET.tobytes())
    with pytest.raises(DamagedHasherError, match="names other files"):
        Hasher.load(folder)


def test_every_way_to_a_tensor_that_onnx_has_is_walked() -> None:
    """Against onnx's own description of its messages, which is newer some day."""
    ways: dict[str, dict[int, str]] = {}
    kinds = [onnx.ModelProto.DESCRIPTOR]
    seen = {kinds[0].name: kinds[0]}
    while kinds:
        for each in kinds.pop().fields:
            if each.type == FieldDescriptor.TYPE_MESSAGE and each.message_type.name not in seen:
                seen[each.message_type.name] = each.message_type
                kinds.append(each.message_type)
    leading = {"TensorProto"}
    while True:
        more = {
            name
            for name, kind in seen.items()
            if any(each.message_type and each.message_type.name in leading for each in kind.fields)
        } - leading
        if not more:
            break
        leading |= more
    for name in leading:
        fields = seen[name].fields
        ways[name] = {
            each.number: each.message_type.name
            for each in fields
            if each.message_type is not None and each.message_type.name in leading
        }
    assert ways == LEADS


def test_what_is_no_onnx_file_is_refused() -> None:
    rng = np.random.default_rng(3)
    good = linear()
    require_self_contained(good)
    for content in (b"\xff" * 40, b"\x3a\xff\xff\xff\xff\x0f", b"\x3b\x3c", b"ORTM" + bytes(40), b"\x80" * 30):
        with pytest.raises(InvalidInputError):
            Graph(content, DIMENSION, BITS)
    for _ in range(300):
        changed = bytearray(good)
        for at in rng.integers(0, len(good), 3):
            changed[at] = rng.integers(256)
        try:
            graph = Graph(bytes(changed), DIMENSION, BITS)
            graph.run(np.ones((3, DIMENSION), np.float32))
        except Exception as error:
            # Whatever it is: none ends the process, or takes long.
            assert str(error)


def loop(turns: int) -> bytes:
    """A graph that does nothing, again and again."""
    row = [values("v", DIMENSION), values("w", DIMENSION)]
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            row[0],
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []), row[1]],
    )
    nodes = [
        helper.make_node("Loop", ["turns", "yes", "input"], ["same"], body=body),
        helper.make_node("MatMul", ["same", "weights"], ["output"]),
    ]
    tensors = [
        numpy_helper.from_array(np.array(turns, np.int64), "turns"),
        numpy_helper.from_array(np.array(True), "yes"),
        numpy_helper.from_array(np.ones((DIMENSION, BITS), np.float32), "weights"),
    ]
    return model(helper.make_graph(nodes, "g", [values("input", DIMENSION)], [values("output", BITS)], tensors))


def _named(input_name: str = "input", inputs: Any = DIMENSION, outputs: Any = BITS, rows: Any = "n") -> bytes:
    tensors = [numpy_helper.from_array(np.ones((DIMENSION, BITS), np.float32), "weights")]
    node = helper.make_node("MatMul", [input_name, "weights"], ["output"])
    graph = helper.make_graph(
        [node], "g", [values(input_name, inputs, rows)], [values("output", outputs, rows)], tensors
    )
    return model(graph)


def _cast(kind: int) -> bytes:
    nodes = [
        helper.make_node("MatMul", ["input", "weights"], ["product"]),
        helper.make_node("Cast", ["product"], ["output"], to=kind),
    ]
    tensors = [numpy_helper.from_array(np.ones((DIMENSION, BITS), np.float32), "weights")]
    outputs = [values("output", BITS, kind=kind)]
    return model(helper.make_graph(nodes, "g", [values("input", DIMENSION)], outputs, tensors))


def _two_inputs() -> bytes:
    nodes = [helper.make_node("MatMul", ["input", "weights"], ["output"])]
    inputs = [values("input", DIMENSION), values("weights", BITS, DIMENSION)]
    return model(helper.make_graph(nodes, "g", inputs, [values("output", BITS)]))


def _without_output_shape(kept: int) -> bytes:
    """Says that it gives any number of rows of 8 numbers, and gives `kept` rows of any."""
    nodes = [
        helper.make_node("MatMul", ["input", "weights"], ["product"]),
        helper.make_node("Slice", ["product", "start", "end", "axis"], ["some"]),
        helper.make_node("Reshape", ["some", "shape"], ["output"]),
    ]
    tensors = [
        numpy_helper.from_array(np.ones((DIMENSION, BITS), np.float32), "weights"),
        numpy_helper.from_array(np.array([0]), "start"),
        numpy_helper.from_array(np.array([kept]), "end"),
        numpy_helper.from_array(np.array([1]), "axis"),
        numpy_helper.from_array(np.array([-1, BITS if kept == BITS else kept]), "shape"),
    ]
    return model(helper.make_graph(nodes, "g", [values("input", DIMENSION)], [values("output", "any")], tensors))


GRAPHS: dict[str, bytes] = {
    "empty": b"",
    "text": b"this is no graph",
    "another width": linear(DIMENSION, 2 * BITS),
    "another input width": linear(DIMENSION + 1, BITS),
    "another input name": _named("x"),
    "two inputs": _two_inputs(),
    "a fixed number of rows": _named(rows=1),
    "widths that are not told": _named(inputs="d", outputs="b"),
    "numbers of float64": _cast(TensorProto.DOUBLE),
    "whole numbers": _cast(TensorProto.INT64),
    "truths": _cast(TensorProto.BOOL),
    "fewer numbers than it says": _without_output_shape(4),
    "an operator that there is not": model(
        helper.make_graph(
            [helper.make_node("Mystery", ["input"], ["output"], domain="mine")],
            "g",
            [values("input", DIMENSION)],
            [values("output", BITS)],
        )
    ),
    "not a number": linear(value=float("nan")),
    "cut off": linear()[:-20],
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_graph_that_is_not_as_its_card_says_is_refused(prepare: Folder, name: str) -> None:
    with pytest.raises(DamagedHasherError, match="bad@1 is not a hasher"):
        Hasher.load(prepare(files={ENCODER: GRAPHS[name]}))


def test_a_graph_that_never_ends_is_ended(prepare: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.graph.FIRST_RUN_SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(DamagedHasherError, match=r"at most 0\.5 seconds for 1 rows"):
        Hasher.load(prepare(files={ENCODER: loop(10**15)}))
    assert time.monotonic() - started < 10
    assert Hasher.load(prepare(GOOD, files={ENCODER: loop(1000)})).bits == BITS
    graph = Graph(loop(1000), DIMENSION, BITS)
    assert graph.run(np.ones((5000, DIMENSION), np.float32)).shape == (5000, BITS)
    monkeypatch.setattr("models.graph.FIRST_RUN_SECONDS", 60.0)
    monkeypatch.setattr("models.graph.RUN_SECONDS", 0.0)
    monkeypatch.setattr("models.graph.LOOK_SECONDS", 0.01)
    # Of so many turns that it is looked at meanwhile.
    slow = Graph(loop(200_000), DIMENSION, BITS)
    with pytest.raises(SlowGraphError, match="at most 0 seconds"):
        slow.run(np.ones((100, DIMENSION), np.float32))


def _text(prepare: Folder, embedding: bytes, tokenizer: bytes = b"{}") -> Path:
    files = {"embedding.safetensors": embedding, "tokenizer.json": tokenizer}
    return prepare(card={"modality": "text", "features": {"modality": "text", "dimension": DIMENSION}}, files=files)


@pytest.mark.parametrize(
    "embedding",
    [
        b"",
        b"\xff" * 16,
        (2**40).to_bytes(8, "little") + b"{}",
        (50_000_000).to_bytes(8, "little") + b" " * 50_000_000,
        (4).to_bytes(8, "little") + b"[[[[",
        (2).to_bytes(8, "little") + b"{}",
    ],
    ids=["empty", "noise", "terabyte", "long", "nested", "none"],
)
def test_an_embedding_whose_header_is_huge_or_none_is_refused(prepare: Folder, embedding: bytes) -> None:
    with pytest.raises(DamagedHasherError, match=r"embedding\.safetensors"):
        Hasher.load(_text(prepare, embedding))


def test_embeddings_and_tokenizers_that_do_not_fit_are_refused(prepare: Folder, hashers: Path) -> None:
    from safetensors.numpy import save

    def refused(embedding: bytes, tokenizer: bytes, message: str, folder: str = "bad@1") -> None:
        path = _text(prepare, embedding, tokenizer)
        with pytest.raises(DamagedHasherError, match=message):
            Hasher.load(path)
        path.rename(path.with_name(f"done-{time.monotonic_ns()}"))

    good = (hashers / "pydocs@1" / "tokenizer.json").read_bytes()
    fits = save({"a": np.ones((32_000, DIMENSION), np.float16)})
    refused(save({"a": np.ones((4, 4), np.float32), "b": np.ones((4, 4), np.float32)}), good, "to hold one tensor")
    refused(save({"a": np.ones(4, np.float32)}), good, "one matrix")
    refused(save({"a": np.ones((4, 4), np.int64)}), good, "one matrix")
    refused(save({"a": np.ones((4, 5), np.float32)}), good, "expected 5, as .* has, got 4")
    for tokenizer in (b"{}", b"[]", b"\xff", b"[" * 100_000, b'{"model": {"type": "BPE"}}'):
        refused(fits, tokenizer, "is not a hasher")
    assert Hasher.load(_text(prepare, fits, good)).encode(["a text"]).shape == (1, 1)


def _replaced(content: str, pattern: dict[str, str]) -> dict[str, Any]:
    return {"type": "Replace", "pattern": pattern, "content": content}


def _in_turn(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Sequence", "normalizers": list(steps)}


BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
ITSELF = {"Sequence": {"id": "A", "type_id": 0}}
# What is changed of a tokenizer, and whether texts are taken.
LONGER: dict[str, tuple[dict[str, Any], bool]] = {
    "as it is": ({}, True),
    "dots": ({"normalizer": _replaced("...", {"String": "\u2026"})}, True),
    "bytes": ({"pre_tokenizer": BYTES, "post_processor": BYTES}, True),
    "doubled": ({"normalizer": _in_turn(*[_replaced("aa", {"String": "a"})] * 22)}, False),
    "doubled in sequences": ({"normalizer": _in_turn(*[_in_turn(*[_replaced("aa", {"Regex": "a"})] * 6)] * 3)}, False),
    "bytes of bytes": ({"pre_tokenizer": {"type": "Sequence", "pretokenizers": [BYTES] * 20}}, False),
    "much before it": ({"normalizer": {"type": "Prepend", "prepend": "a" * 10**6}}, False),
    "itself again and again": (
        {
            "post_processor": {
                "type": "TemplateProcessing",
                "single": [ITSELF] * 10**5,
                "pair": [],
                "special_tokens": {},
            }
        },
        False,
    ),
}


@pytest.mark.parametrize("name", LONGER)
def test_a_tokenizer_makes_no_text_much_longer(prepare: Folder, hashers: Path, name: str) -> None:
    """One letter would become a gigabyte while the interpreter's lock is held, or all memory there is."""
    from safetensors.numpy import save

    change, taken = LONGER[name]
    good = json.loads((hashers / "pydocs@1" / "tokenizer.json").read_bytes())
    embedding = save({"a": np.ones((32_000, DIMENSION), np.float16)})
    hasher = Hasher.load(_text(prepare, embedding, json.dumps(good | change).encode()))
    if taken:
        assert hasher.encode(["a text " * 10_000]).shape == (1, 1)
        return
    # Without its bound even these three would take minutes, or gigabytes.
    with pytest.raises(InvalidInputError, match="times as long") as raised:
        hasher.encode(["\u00e9a " * 1000])
    assert raised.value.status == 413


def test_a_tokenizer_puts_few_tokens_round_a_text_and_is_not_huge(hashers: Path) -> None:
    good = json.loads((hashers / "pydocs@1" / "tokenizer.json").read_bytes())
    added = {"id": "<s>", "ids": [1] * 1000, "tokens": ["<s>"] * 1000}
    pieces = [{"SpecialToken": {"id": "<s>", "type_id": 0}}] * 1000 + [ITSELF]
    processor = {"type": "TemplateProcessing", "single": pieces, "pair": [], "special_tokens": {"<s>": added}}
    with pytest.raises(InvalidInputError, match="at most 64 special tokens to a text, got 1000000"):
        load_tokenizer(json.dumps(good | {"post_processor": processor}).encode())
    with pytest.raises(InvalidInputError, match="at most 67108864 bytes"):
        load_tokenizer(b" " * (2**26 + 1))


def test_tokens_that_have_no_embedding_are_that_texts_fault(prepare: Folder, hashers: Path) -> None:
    from safetensors.numpy import save

    tokenizer = (hashers / "pydocs@1" / "tokenizer.json").read_bytes()
    hasher = Hasher.load(_text(prepare, save({"a": np.ones((1, DIMENSION), np.float16)}), tokenizer))
    with pytest.raises(InvalidInputError, match="expected a text that can be tokenized"):
        hasher.encode(["one that has other tokens"])


@pytest.fixture
def serving(prepare: Folder, tmp_path: Path) -> Iterator[tuple[Path, Callable[[], httpx.Client]]]:
    """A directory with a good hasher, and a service over it, started when it is asked for."""
    folder = prepare(GOOD)
    stack = []

    def start() -> httpx.Client:
        service = running(Settings(hashers=folder.parent, data=tmp_path / "data"))
        stack.append(service)
        return service.__enter__()

    yield folder.parent, start
    for service in stack:
        service.__exit__(None, None, None)


def test_one_bad_folder_is_bad_alone(serving: tuple[Path, Callable[[], httpx.Client]], prepare: Folder) -> None:
    bad = {f"bad{place}@1": card for place, card in enumerate(CARDS.values())}
    for name, card in bad.items():
        prepare(name, card={"name": name.partition("@")[0], **card})
    prepare("missing@1", drop=("objective",))
    os.mkfifo(prepare("waiting@1") / "fifo")
    (fifo := prepare("fifo@1") / ENCODER).unlink()
    os.mkfifo(fifo)
    prepare("outside@1", files={ENCODER: _in_graph(external("secret.bin"))})
    client = serving[1]()
    assert client.get("/readyz").status_code == 200
    listed = {each["reference"]: each for each in client.get("/v1/models").json()["models"]}
    assert listed[GOOD]["served"] and listed["waiting@1"]["served"]
    refused = {name for name, each in listed.items() if not each["served"]}
    assert refused == {*bad, "missing@1", "fifo@1", "outside@1"}
    assert client.put("/v1/collections/good", json={"hasher": "good"}).status_code == 201
    for name in sorted(refused):
        assert listed[name]["detail"]
        for reply in (
            client.get(f"/v1/models/{name}"),
            client.post("/v1/encode", json={"hasher": name, "inputs": [{"vector": [1, 2, 3, 4]}], "logits": True}),
            client.put("/v1/collections/bad", json={"hasher": name}),
            client.post("/v1/collections/good/recode", json={"hasher": name}),
        ):
            assert reply.status_code == 503 and reply.json()["title"] == "Damaged hasher", (name, reply.text)
    # The store took none of them.
    assert [each["name"] for each in client.get("/v1/collections").json()["collections"]] == ["good"]
    item = {"id": "a", "vector": [1, 2, 3, 4]}
    assert client.post("/v1/collections/good/index", json={"items": [item]}).json() == {"indexed": 1}


def test_a_folder_that_loads_for_ever_holds_up_nobody(
    serving: tuple[Path, Callable[[], httpx.Client]], prepare: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serving[1]()
    released = threading.Event()
    load = Hasher.load

    def stuck(folder: Path, most_bytes: int) -> Hasher:
        if folder.name == "bad@1":
            released.wait(60)
        return load(folder, most_bytes)

    monkeypatch.setattr(Hasher, "load", stuck)
    monkeypatch.setattr(loading, "LOAD_SECONDS", 0.5)
    prepare()
    prepare("better@1")
    threads = [threading.Thread(target=client.get, args=("/v1/models/bad@1",)) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        # Another one is loaded, and the one that is there already is used, meanwhile.
        for name in ("better@1", GOOD):
            body = {"hasher": name, "inputs": [{"vector": [1, 2, 3, 4]}]}
            assert client.post("/v1/encode", json=body).status_code == 200
        reply = client.get("/v1/models/bad@1")
        assert reply.status_code == 503 and "to be loaded within 0.5 seconds" in reply.json()["detail"]
        assert sum(thread.name == "load bad@1" for thread in threading.enumerate()) == 1
    finally:
        released.set()
        for thread in threads:
            thread.join()
    deadline = time.monotonic() + 10
    while client.get("/v1/models/bad@1").status_code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert client.get("/v1/models/bad@1").status_code == 200


def test_a_bad_folder_is_read_again_only_when_it_has_changed(prepare: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prepare(card={"bits": 12})
    hashers = Hashers(folder.parent)
    reads = []
    load = Hasher.load
    monkeypatch.setattr(Hasher, "load", lambda path, most: reads.append(path) or load(path, most))
    for _ in range(5):
        with pytest.raises(DamagedHasherError, match="bits"):
            hashers.get("bad")
    assert len(reads) == 1
    card = json.loads((folder / CARD).read_text())
    seal(folder, {key: value for key, value in card.items() if key != "sha256"} | {"bits": BITS})
    assert hashers.get("bad").bits == BITS
    assert len(reads) == 2


def test_numbers_that_are_none_are_the_documents_fault(
    serving: tuple[Path, Callable[[], httpx.Client]], prepare: Folder
) -> None:
    """A graph that gives NaN for some documents: those are refused, by their places, and the others are coded."""
    node = helper.make_node("Sqrt", ["input"], ["root"])
    multiply = helper.make_node("MatMul", ["root", "weights"], ["output"])
    tensors = [numpy_helper.from_array(np.ones((DIMENSION, BITS), np.float32), "weights")]
    graph = helper.make_graph([node, multiply], "g", [values("input", DIMENSION)], [values("output", BITS)], tensors)
    prepare("roots@1", files={ENCODER: model(graph)})
    client = serving[1]()
    assert client.put("/v1/collections/roots", json={"hasher": "roots"}).status_code == 201
    good, bad = {"vector": [1, 2, 3, 4]}, {"vector": [-1, 2, 3, 4]}
    reply = client.post("/v1/encode", json={"hasher": "roots", "inputs": [good, bad, good]})
    assert reply.status_code == 422
    assert [each["where"] for each in reply.json()["errors"]] == ["inputs/1/vector"]
    lines = "\n".join(json.dumps({"id": str(n), **(bad if n == 7 else good)}) for n in range(20))
    reply = client.post("/v1/collections/roots/index", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert reply.status_code == 200 and reply.json()["indexed"] == 19
    assert [each["line"] for each in reply.json()["rejected"]] == [8]
    assert client.post("/v1/collections/roots/search", json={"query": bad}).status_code == 422
    assert client.post("/v1/collections/roots/compare", json={"a": good, "b": bad}).status_code == 422


@pytest.mark.parametrize(
    "settings",
    [
        CollectionSettings(8.0),  # type: ignore[arg-type]
        CollectionSettings(True),
        CollectionSettings(12),
        CollectionSettings(8192),
        CollectionSettings(0),
        CollectionSettings(np.int64(8)),  # type: ignore[arg-type]
        CollectionSettings("8"),  # type: ignore[arg-type]
        CollectionSettings(8, hasher=7),  # type: ignore[arg-type]
        CollectionSettings(8, keep_documents=1),  # type: ignore[arg-type]
        CollectionSettings(8, keep_features="float64"),  # type: ignore[arg-type]
        CollectionSettings(8, index=IndexSettings("ivf", lists=4.0)),  # type: ignore[arg-type]
        CollectionSettings(8, index=IndexSettings("auto", above=True)),
        CollectionSettings(8, index=IndexSettings("tree")),  # type: ignore[arg-type]
    ],
    ids=str,
)
def test_no_store_commits_what_it_could_not_read_again(tmp_path: Path, settings: CollectionSettings) -> None:
    writer = Writer(tmp_path / "hammingway.sqlite")
    try:
        good = writer.create_collection("good", CollectionSettings(8))
        with pytest.raises(InvalidInputError, match="expected"):
            writer.create_collection("bad", settings)
        assert good is not None
        if settings.bits == 8:
            with pytest.raises(InvalidInputError, match="expected"):
                writer.load_collection("bad", settings, [])
    finally:
        writer.close()
    reader = Reader(tmp_path / "hammingway.sqlite")
    try:
        assert [row.name for row in reader.collections()] == ["good"]
    finally:
        reader.close()


def test_nor_does_milvus() -> None:
    from service.milvus.names import Names
    from service.store.schema import CollectionRow

    names = Names(None)  # type: ignore[arg-type]
    for settings in (CollectionSettings(8.0), CollectionSettings(12), CollectionSettings(8, hasher=7)):  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError, match="expected"):
            # Nothing is sent: there is no connection.
            names.create(CollectionRow(1, "bad", settings))
