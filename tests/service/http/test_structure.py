"""Bodies that are parsed part by part say the same as those that are parsed at once."""

from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from models.errors import HammingwayError
from service.errors import FaultsError, InvalidJsonError, TooLargeError
from service.http.layers.held import HeldBytes
from service.http.requests import body as bodies
from service.http.requests import structure
from service.http.requests.body import Body, parse, parse_json, parse_members
from service.http.schemas.encode import EncodeRequest
from service.http.schemas.items import DeleteRequest, IndexRequest
from service.http.schemas.search import SearchRequest

MOST = 50
TEXTS = st.text(st.sampled_from('a"\\[]{},: é\n\U0001f600'), max_size=6)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(-1, 1), TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
DOCUMENTS = st.one_of(
    st.fixed_dictionaries({"text": TEXTS}),
    st.fixed_dictionaries({"vector": st.lists(st.floats(-1, 1), max_size=3)}),
    st.fixed_dictionaries({"code": TEXTS}, optional={"id": TEXTS, "payload": st.dictionaries(TEXTS, VALUES)}),
    VALUES,
)
ITEMS = st.fixed_dictionaries({"id": TEXTS, "code": TEXTS}, optional={"payload": st.dictionaries(TEXTS, VALUES)})
NAMES = ["limit", "hasher", "filter", "exact", "x", "é", 'a"b', "query", "rank"]
MODELS: dict[str, tuple[type[BaseModel], Any]] = {
    "items": (IndexRequest, st.one_of(ITEMS, DOCUMENTS)),
    "queries": (SearchRequest, DOCUMENTS),
    "inputs": (EncodeRequest, DOCUMENTS),
    "ids": (DeleteRequest, st.one_of(TEXTS, VALUES)),
}


@st.composite
def texts(draw: st.DrawFn) -> tuple[str, bytes]:
    """The name of a list, and a body with it that is right, or nearly."""
    name = draw(st.sampled_from(sorted(MODELS)))
    elements = draw(st.lists(MODELS[name][1], max_size=5))
    others = draw(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=3))
    if name == "inputs":
        others.setdefault("hasher", "h")
    members = [*others.items(), (name, elements)]
    if draw(st.booleans()):
        members.insert(0, (name, draw(VALUES)))
    parts = [orjson.dumps(key) + b":" + orjson.dumps(value) for key, value in draw(st.permutations(members))]
    text = b"{" + b",".join(parts) + b"}"
    if draw(st.booleans()):
        # In Python's form, with blanks.
        text = text.replace(b",", b" ,\n").replace(b":", b" : ") if b'"' not in text else b" " + text + b"\t"
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        place = draw(st.integers(0, len(text)))
        put = draw(st.sampled_from([b"", b'"', b"\\", b"[", b"]", b"{", b"}", b",", b":", b" ", b"1", b"\xff"]))
        text = text[:place] + put + text[place + draw(st.integers(0, 1)) :]
    return name, text


def _outcome(name: str, text: bytes) -> object:
    """The model, the faults in any order, or the kind of another error."""
    charge = HeldBytes(2**40, "bodies").charge()
    try:
        made = parse(MODELS[name][0], Body(text, charge, MOST * 10), **{name: MOST})
    except FaultsError as error:
        return sorted((fault.where, fault.detail) for fault in error.faults), error.more
    except HammingwayError as error:
        return type(error)
    return repr(made)


@pytest.mark.parametrize("step", [1, 7, 2**18])
@settings(max_examples=400, deadline=None, derandomize=True)
@given(made=texts())
def test_part_by_part_is_as_at_once(step: int, made: tuple[str, bytes]) -> None:
    name, text = made
    at_once = _outcome(name, text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(structure, "STEP_BYTES", step)
        patch.setattr(bodies, "VALUES_AT_ONCE", 3)
        by_parts = _outcome(name, text)
    assert by_parts == at_once, text


@pytest.mark.parametrize("text", [b'{"a": 1, "b": {"c": [2, "\\\\\\"]"]}}', b"{}", b' {"x\\"y": [] } '])
def test_members_one_by_one_are_those_of_the_whole(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "VALUES_AT_ONCE", 0)
    assert dict(parse_members(text, MOST, MOST)) == orjson.loads(text)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (b'{"items": [{"id": "a"}, {"id": \n"b" "c"}]}', "line 2 column 5"),
        (b'{"items": [1, 2}', "line 1 column 17"),
        (b'{"items": [1, 2]', "line 1 column 17"),
        ('{"é": 1,, "items": []}'.encode(), "line 1 column 9"),
        (b'{"items": []} x', "line 1 column 15"),
    ],
)
def test_a_mistake_is_told_by_its_place_in_the_whole(text: bytes, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "VALUES_AT_ONCE", 0)
    body = Body(text, HeldBytes(2**40, "bodies").charge(), MOST)
    with pytest.raises(InvalidJsonError, match=place):
        parse(IndexRequest, body, items=MOST)


def test_a_text_with_more_values_than_are_parsed_is_refused_wherever_they_are() -> None:
    def refusal(text: bytes, most: int = 30_000) -> str:
        with pytest.raises(TooLargeError) as caught:
            parse(IndexRequest, Body(text, HeldBytes(2**40, "bodies").charge(), most), items=MOST)
        return str(caught.value)

    many = b",".join([b"[]"] * 40_000)
    assert "at most 30000 values" in refusal(b"[" + many + b"]")
    assert "at most 30000 values" in refusal(b'{"items": [], "filter": [' + many + b"]}")
    assert "at most 30000 values" in refusal(b'{"items": {"a": [' + many + b"]}}")
    assert "at most 30000 values in" in refusal(b'{"items": [{"id": "a", "payload": {"x": [' + many + b"]}}]}")
    assert "at most 50 items in one request, got 40000" in refusal(b'{"items": [' + many + b"]}")
    assert "at most 50 items in one request, got 200000" in refusal(b'{"items": [' + b",".join([many] * 5) + b"]}")
    names = b",".join(b'"%d": 0' % number for number in range(40_000))
    assert "at most 30000 values" in refusal(b"{" + names + b"}")
    assert "at most 30000 values" in refusal(b'{"a": ' + b"[" * 1000 + many + b"]" * 1000 + b"}")
    with pytest.raises(TooLargeError):
        parse_json(b"[" + many + b"]")
    with pytest.raises(InvalidJsonError, match="depth"):
        parse_json(b"[" * 30_000 + b"]" * 30_000, 100_000)


def test_unknown_names_are_counted_and_the_first_listed() -> None:
    content = orjson.dumps({"queries": [{"code": "00"} | {f"x{n}": 0 for n in range(100)}] * 3} | {"y": 0})
    with pytest.raises(FaultsError) as caught:
        parse(SearchRequest, Body(content, HeldBytes(2**40, "bodies").charge(), 1000), queries=MOST)
    assert (len(caught.value.faults), caught.value.more) == (20, 301 - 20)
    assert "(and 300 more)" in str(caught.value)
