"""Text encoders: what a folder says is what is computed, and a text's row never depends on its neighbours."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.errors import InvalidInputError
from models.features import load_features
from models.features.encoder_folder import open_encoder
from models.features.text import TextTooLongError
from models.features.text_encoder import MODEL, TextEncoder
from models.features.tokenizing import TOKENIZER
from tests.encoders import EMBEDDING, WIDTH, WORDS, attended, text_graph, tokenizer, write_text_encoder

TEXT = "word1 word2 word3"
IDS = [WORDS.index(word) for word in TEXT.split()]


def texts(number: int, seed: int = 0) -> list[str]:
    """Texts of 1 to 30 words."""
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS[4:], draw.integers(1, 31))) for _ in range(number)]


def encoder(folder: Path, graph: bytes | None = None, **files: object) -> TextEncoder:
    found = open_encoder(write_text_encoder(folder / "encoder", graph, **files))
    assert isinstance(found, TextEncoder)
    return found


def pooled(mode: str, tokens: np.ndarray) -> np.ndarray:
    weights = np.arange(1, len(tokens) + 1)
    return {
        "cls": tokens[0],
        "max": tokens.max(axis=0),
        "mean": tokens.mean(axis=0),
        "mean_sqrt_len_tokens": tokens.sum(axis=0) / len(tokens) ** 0.5,
        "weightedmean": (tokens.T * weights).T.sum(axis=0) / weights.sum(),
        "lasttoken": tokens[-1],
    }[mode]


@pytest.mark.parametrize("mode", ["cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"])
@pytest.mark.parametrize("unit", [False, True])
@pytest.mark.parametrize("new", [False, True])
def test_pooling_and_scaling_are_those_of_the_folder(tmp_path: Path, mode: str, unit: bool, new: bool) -> None:
    modules = [{"type": "sentence_transformers.models.Transformer", "path": ""}]
    modules += [{"type": "sentence_transformers.models.Pooling", "path": "1_Pooling"}]
    modules += [{"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}] if unit else []
    folder = write_text_encoder(tmp_path / "encoder", modules=modules)
    (folder / "1_Pooling").mkdir()
    flag = mode if mode.endswith("tokens") else f"{mode}_token" if mode == "cls" else f"{mode}_tokens"
    flag = {"lasttoken_tokens": "lasttoken"}.get(flag, flag)
    old = {"pooling_mode_cls_token": False, f"pooling_mode_{flag}": True}
    config = {"pooling_mode": mode} if new else old
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
    row = open_encoder(folder).row(TEXT)
    expected = pooled(mode, attended(IDS))
    np.testing.assert_allclose(row, expected / np.linalg.norm(expected) if unit else expected, atol=1e-5)


def test_queries_and_documents_have_their_prefixes(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}, "default_prompt_name": None}
    made = encoder(tmp_path, config_sentence_transformers=prompts)
    plain = encoder(tmp_path / "plain")
    assert np.array_equal(made.row(TEXT, query=True), plain.row(f"query: {TEXT}"))
    assert np.array_equal(made.row(TEXT), plain.row(f"passage: {TEXT}"))
    assert np.array_equal(made.rows([TEXT], query=True).rows[0], made.row(TEXT, query=True))
    assert not np.array_equal(made.row(TEXT), made.row(TEXT, query=True))


def test_long_texts_are_cut_at_the_folder_s_length(tmp_path: Path) -> None:
    made = encoder(tmp_path, sentence_bert_config={"max_seq_length": 3, "do_lower_case": True})
    assert np.array_equal(made.row(f"{TEXT} word9"), made.row(TEXT.upper()))
    assert made.settings()["tokens"] == 3
    made.limit(max_characters=5, max_pixels=1)
    with pytest.raises(TextTooLongError):
        made.check(TEXT)


@pytest.mark.parametrize(("kind", "batches"), [("float32", True), ("float16", True), ("dynamic", False)])
def test_a_row_is_the_same_alone_and_among_ten_thousand(tmp_path: Path, kind: str, batches: bool) -> None:
    made = encoder(tmp_path, text_graph(kind))
    # Dynamic quantisation scales by all texts of a run: those are run one at a time.
    assert made.settings()["batches"] is batches
    many = texts(10_000)
    rows, faults = made.rows(many)
    assert not faults
    some = range(0, 10_000, 97)
    assert all(np.array_equal(made.row(many[place]), rows[place]) for place in some)
    with ThreadPoolExecutor(4) as threads:
        again = np.concatenate([found.rows for found in threads.map(made.rows, [many[i::4] for i in range(4)])])
    assert np.array_equal(again, np.concatenate([rows[i::4] for i in range(4)]))
    loaded = load_features(made.settings(), made.files())
    assert np.array_equal(loaded.rows(many[:500]).rows, rows[:500])


def test_without_the_check_dynamic_quantisation_would_change_rows(tmp_path: Path) -> None:
    made = encoder(tmp_path, text_graph("dynamic"))
    made._batches = True
    many = [" ".join(each.split()[:1]) for each in texts(200)]
    assert any(not np.array_equal(made.row(text), row) for text, row in zip(many, made.rows(many).rows, strict=True))


def test_a_fault_is_told_at_its_place_and_spoils_no_other_row(tmp_path: Path) -> None:
    made = encoder(tmp_path)
    rows, faults = made.rows(["word1", "", "word2", 5, "\ud800"])  # type: ignore[list-item]
    assert sorted(faults) == [1, 3, 4]
    assert np.array_equal(rows[2], made.row("word2"))
    assert not rows[[1, 3, 4]].any()


def test_features_that_are_not_finite_are_a_fault_of_their_text(tmp_path: Path) -> None:
    model = onnx.load_from_string(text_graph())
    embedding = np.array(EMBEDDING)
    embedding[WORDS.index("word5")] = np.inf
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(embedding, "embedding"))
    # Made of a graph without infinities, which would be found when it is made.
    settings = encoder(tmp_path).settings()
    made = TextEncoder.load({**settings, "batches": False}, {MODEL: model.SerializeToString(), TOKENIZER: tokenizer()})
    made._batches = True
    rows, faults = made.rows(["word1", "word5", "word2"])
    assert list(faults) == [1] and "expected finite features" in str(faults[1])
    assert np.array_equal(rows[2], made.row("word2"))


def external(model: bytes) -> bytes:
    made = onnx.load_from_string(model)
    onnx.external_data_helper.set_external_data(made.graph.initializer[0], "weights.bin")
    made.graph.initializer[0].data_location = TensorProto.EXTERNAL
    made.graph.initializer[0].ClearField("raw_data")
    content: bytes = made.SerializeToString()
    return content


def renamed(model: bytes, operator: str, domain: str) -> bytes:
    made = onnx.load_from_string(model)
    made.graph.node[0].op_type, made.graph.node[0].domain = operator, domain
    made.opset_import.append(helper.make_opsetid(domain, 1))
    content: bytes = made.SerializeToString()
    return content


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (external(text_graph()), "names other files"),
        (
            renamed(text_graph(), "RunThis", "evil.ops"),
            "to be a graph that ONNX Runtime takes: .*RunThis",
        ),
        (b"not a graph", "expected"),
        (text_graph("random"), "the same row for the same text"),
        (text_graph().replace(b"attention_mask", b"strange_inputs"), "got strange_inputs"),
    ],
)
def test_graphs_that_cannot_be_trusted_are_refused(tmp_path: Path, graph: bytes, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        encoder(tmp_path, graph)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"modules": [{"type": "sentence_transformers.models.Dense"}]}, "got Dense: export it all as one graph"),
        ({"modules": {"no": "list"}}, "to hold a list of modules, got dict"),
        ({"tokenizer": {"no": "tokenizer"}}, "expected tokenizer.json to be a tokenizer"),
        ({"sentence_bert_config": {"max_seq_length": 10**6}}, "features/tokens on the card: .*, got 1000000"),
        ({"config_sentence_transformers": {"prompts": {"query": 5}}}, "features/query_prefix on the card: .*, got 5"),
        ({"config_sentence_transformers": []}, "to hold an object of JSON, got list"),
    ],
)
def test_a_wrong_file_of_a_folder_is_named(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        encoder(tmp_path, **files)


def test_own_settings_win_and_only_known_ones_are_taken(tmp_path: Path) -> None:
    folder = write_text_encoder(tmp_path / "encoder")
    own = folder / "encoder.toml"
    own.write_text('[source]\nname = "tiny"\nlicence = "MIT"\n[text]\npooling = ["cls"]\nunit = false\ntokens = 7\n')
    made = open_encoder(folder)
    assert made.settings()["source"] == {"name": "tiny", "maker": "", "licence": "MIT"}
    np.testing.assert_allclose(made.row(TEXT), attended(IDS)[0], atol=1e-5)
    for content, message in (
        ("[text]\npool = 1\n", r"in \[text\] of encoder.toml, got pool"),
        ("[other]\n", "got other"),
        ("[text", "to be TOML"),
        ('[text]\npooling = ["sum"]\n', "features/pooling/0 on the card: .*, got 'sum'"),
    ):
        own.write_text(content)
        with pytest.raises(InvalidInputError, match=message):
            open_encoder(folder)


def test_a_card_is_checked_against_its_graph(tmp_path: Path) -> None:
    made = encoder(tmp_path)
    settings = made.settings()
    for wrong, message in (
        ({"dimension": WIDTH + 1}, f"features/dimension: expected {WIDTH}, .*, got {WIDTH + 1}"),
        ({"pooling": []}, "expected an output of 2 axes"),
        ({"tokens": 1}, "features/tokens on the card"),
        ({"unit": 1}, "features/unit on the card"),
        ({"prefix": ""}, "features/prefix on the card"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            load_features({**settings, **wrong}, made.files())
    with pytest.raises(InvalidInputError, match=r"expected the file tokenizer\.json of a text encoder, found none"):
        load_features(settings, {MODEL: made.files()[MODEL]})


def test_a_caller_can_stop_before_each_text_and_before_each_run(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    calls = 0

    def going() -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise StoppedError

    some = texts(20)
    extractor = encoder(tmp_path)
    for stop in (1, 2, 20, 21):
        calls = 0
        with pytest.raises(StoppedError):
            extractor.rows(some, going=going)
        assert calls == stop
    stop = 0
    calls = 0
    extractor.rows(some, going=going)
    assert calls > len(some)
