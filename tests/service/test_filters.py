import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InvalidInputError
from service.filters import MAX_CHOICES, MAX_CONDITIONS, MAX_DEPTH, AnyOf, Field, Not, Scalar, parse_filter
from service.store.filtering import compile_filter
from tests.filtering import expected


def rows_through(value: Any, payloads: list[Any]) -> list[int]:
    """Places of the payloads that SQLite lets through; None is an item without a payload."""
    expression, parameters = compile_filter(parse_filter(value))
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE items (sequence INTEGER PRIMARY KEY, collection INTEGER, payload BLOB) STRICT")
        rows = [(i, 7, None if each is None else orjson.dumps(each)) for i, each in enumerate(payloads)]
        connection.executemany("INSERT INTO items VALUES (?, ?, ?)", rows)
        verdicts = connection.execute(f"SELECT ({expression}) FROM items ORDER BY sequence", parameters).fetchall()
        assert {verdict for (verdict,) in verdicts} <= {0, 1}
        query = f"SELECT sequence FROM items WHERE collection = ? AND ({expression}) ORDER BY sequence"
        through = [sequence for (sequence,) in connection.execute(query, (7, *parameters))]
    assert through == [i for i, (verdict,) in enumerate(verdicts) if verdict]
    return through


CHARACTERS = list("ab.$\"\\[]'{}?*@#: /u0%_-é\u00df\ud7ff\ufffd😀\x00\x01\x08\n\x1f\x7f\u2028")
STRINGS = st.text(CHARACTERS, max_size=4) | st.sampled_from(
    ["", "a", "a\0", "a\0b", "\\u0000", "a\\u0000", "1", "true"]
)
INTEGERS = st.integers(-3, 3) | st.sampled_from(
    [2**53, 2**53 + 1, 2**62 + 1, 2**63 - 1, -(2**63), -(2**53) - 1, 2**63, 2**64 - 1, 2**63 - 2]
)
FLOATS = st.sampled_from(
    [0.0, -0.0, 1.0, 0.1, 2.5, 1e22, 2.0**53, 2.0**62, 2.0**63, 1e-300, -1.5e300, 5e-324]
) | st.floats(allow_nan=False, allow_infinity=False)
SCALARS = st.none() | st.booleans() | INTEGERS | FLOATS | STRINGS
FILTER_SCALARS = SCALARS.filter(lambda value: not (isinstance(value, str) and "\0" in value))
BOUNDS = FILTER_SCALARS.filter(lambda value: value is not None and not isinstance(value, bool))


@st.composite
def payloads_and_filters(draw: st.DrawFn) -> tuple[list[Any], dict[str, Any]]:
    """Payloads and a filter that share their few names and values, so that they meet."""
    names = draw(st.lists(STRINGS, min_size=1, max_size=3))
    pool = st.sampled_from(draw(st.lists(SCALARS, min_size=1, max_size=4)))
    scalars = pool | SCALARS
    values = st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(names), inner, max_size=3),
        max_leaves=8,
    )
    payloads = st.none() | st.dictionaries(st.sampled_from(names), values, max_size=3)
    fields = st.lists(st.sampled_from(names), min_size=1, max_size=3).map(".".join)
    fields = fields.filter(lambda name: name not in ("and", "or", "not"))
    operand = (pool | FILTER_SCALARS).filter(lambda value: not (isinstance(value, str) and "\0" in value))
    bound = operand.filter(lambda value: value is not None and not isinstance(value, bool)) | BOUNDS
    operators = st.fixed_dictionaries(
        {},
        optional={
            "eq": operand,
            "in": st.lists(operand, max_size=4),
            "exists": st.booleans(),
            **dict.fromkeys(("gt", "gte", "lt", "lte"), bound),
        },
    ).filter(bool)
    leaf = st.dictionaries(fields, operand | operators, max_size=2)
    condition = st.recursive(
        leaf,
        lambda inner: st.fixed_dictionaries(
            {},
            optional={
                "and": st.lists(inner, min_size=1, max_size=3),
                "or": st.lists(inner, min_size=1, max_size=3),
                "not": inner,
            },
        ),
        max_leaves=5,
    )
    return draw(st.lists(payloads, min_size=1, max_size=6)), draw(condition)


@settings(max_examples=500, deadline=None)
@given(payloads_and_filters())
def test_sqlite_lets_through_what_plain_python_does(drawn: tuple[list[Any], dict[str, Any]]) -> None:
    payloads, condition = drawn
    depth, conditions = measured(condition)
    if depth <= MAX_DEPTH and conditions <= MAX_CONDITIONS:
        assert rows_through(condition, payloads) == expected(condition, payloads)


def measured(condition: dict[str, Any]) -> tuple[int, int]:
    """Depth and number of the conditions."""
    inner = [*condition.get("and", []), *condition.get("or", []), *([condition["not"]] if "not" in condition else [])]
    own = [len(v) if isinstance(v, dict) else 1 for k, v in condition.items() if k not in ("and", "or", "not")]
    depths, counts = zip(*map(measured, inner), strict=True) if inner else ((0,), (0,))
    return 1 + max(depths), sum(own) + sum(counts) + (not condition)


@settings(max_examples=300, deadline=None)
@given(STRINGS, st.lists(STRINGS, min_size=1, max_size=4), st.sampled_from(["scalar", "list"]), st.integers(0, 5))
def test_any_name_and_any_text_are_found_as_they_are(name: str, texts: list[str], shape: str, which: int) -> None:
    name = name.replace(".", "")
    payloads = [{name: text if shape == "scalar" else ["x", text]} for text in texts]
    payloads += [{name + '"': texts[0]}, {name[:-1]: texts[0]}, {name + "\0": texts[0]}, {"x" + name: texts[0]}]
    operand = texts[0].replace("\0", "")
    operator = ("eq", "gt", "gte", "lt", "lte", "in")[which]
    condition = {name: {operator: [operand] if operator == "in" else operand}}
    if name not in ("and", "or", "not"):
        assert rows_through(condition, payloads) == expected(condition, payloads)


@settings(max_examples=150, deadline=None)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(-2, 2), st.sampled_from(["eq", "gt", "gte", "lt", "lte"]))
def test_integers_and_the_floats_around_them_are_told_apart(number: int, off: int, operator: str) -> None:
    near = max(-(2**63), min(2**63 - 1, number + off))
    payloads = [{"n": value} for value in (number, near, float(number), [number], math.nextafter(float(number), 0))]
    for operand in (number, near, float(near)):
        condition = {"n": {operator: operand}}
        assert rows_through(condition, payloads) == expected(condition, payloads)


# By hand.

ITEMS: list[Any] = [
    {"price": 30, "color": "red", "tags": ["a", "b"], "author": {"name": "Ann", "born": 1970}},
    {"price": 40.0, "color": "blue", "tags": []},
    {"price": "40", "color": None, "tags": "a"},
    {"price": True, "color": ["red", "blue"], "tags": [["a"], {"a": 1}, None]},
    {"price": [10, 50], "author": [{"name": "Ann"}]},
    {},
    None,
]


@pytest.mark.parametrize(
    ("condition", "through"),
    [
        ({}, [0, 1, 2, 3, 4, 5, 6]),
        ({"price": 40}, [1]),
        ({"price": 40.0}, [1]),
        ({"price": "40"}, [2]),
        ({"price": True}, [3]),
        ({"price": 1}, []),
        ({"price": 10}, [4]),
        ({"price": {"lte": 40}}, [0, 1, 4]),
        ({"price": {"lt": 40}}, [0, 4]),
        ({"price": {"gte": 40}}, [1, 4]),
        ({"price": {"gt": 40}}, [4]),
        ({"price": {"gt": 10, "lt": 50}}, [0, 1]),
        ({"and": [{"price": {"gt": 10}}, {"price": {"lt": 50}}]}, [0, 1, 4]),
        ({"price": {"gt": "3"}}, [2]),
        ({"price": {"gt": 3, "lt": "x"}}, []),
        ({"price": {"in": [40, 30, "x"]}}, [0, 1]),
        ({"price": {"in": [True, "40"]}}, [2, 3]),
        ({"price": {"in": []}}, []),
        ({"not": {"price": {"in": []}}}, [0, 1, 2, 3, 4, 5, 6]),
        ({"color": "red"}, [0, 3]),
        ({"color": None}, [2]),
        ({"color": {"in": [None, "red"]}}, [0, 2, 3]),
        ({"color": {"in": ["red", "blue"], "gt": "r"}}, [0, 3]),
        ({"color": {"in": [None, "red"], "gt": "a"}}, [0, 3]),
        ({"price": {"in": [True, 30], "eq": 30}}, [0]),
        ({"color": {"exists": True}}, [0, 1, 2, 3]),
        ({"color": {"exists": False}}, [4, 5, 6]),
        ({"color": {"exists": True, "eq": "red"}}, [0, 3]),
        ({"color": {"exists": False, "eq": "red"}}, []),
        ({"tags": "a"}, [0, 2]),
        ({"tags": None}, [3]),
        ({"tags": {"exists": True}}, [0, 1, 2, 3]),
        ({"author.name": "Ann"}, [0]),
        ({"author.name": {"exists": True}}, [0]),
        ({"author": {"exists": True}}, [0, 4]),
        ({"author.born": {"lt": 1980}, "color": "red"}, [0]),
        ({"not": {"price": {"lte": 40}}}, [2, 3, 5, 6]),
        ({"not": {"not": {"color": "blue"}}}, [1, 3]),
        ({"or": [{"color": "blue"}, {"price": 30}]}, [0, 1, 3]),
        ({"or": [{}]}, [0, 1, 2, 3, 4, 5, 6]),
        ({"or": [{"color": "blue"}, {"price": 30}], "tags": {"exists": True}, "not": {"tags": "a"}}, [1, 3]),
    ],
)
def test_hand_worked(condition: dict[str, Any], through: list[int]) -> None:
    assert rows_through(condition, ITEMS) == through
    assert expected(condition, ITEMS) == through


@pytest.mark.parametrize(
    "name", ["", '"', 'a"b', '"[', "\\", '\\"', "[0]", "a[0]", "$", "é", "😀", "\x01", "\n", "\0", "a\0b", "?", "'"]
)
def test_a_name_may_hold_anything_but_a_dot(name: str) -> None:
    others = ["a", "b", "0", name + "x", "x" + name, name + "\0", orjson.dumps(name).decode()[1:-1] + "\\"]
    payloads = [{name: 1}, {name: {name: "v"}}, *({other: 1} for other in others), {name: [1]}]
    assert rows_through({name: 1}, payloads) == [0, len(payloads) - 1]
    assert rows_through({f"{name}.{name}": "v"}, payloads) == [1]
    assert rows_through({name: {"exists": True}}, payloads) == [0, 1, len(payloads) - 1]


@pytest.mark.parametrize("name", ["s", 's"'])
def test_strings_that_go_on_after_a_nul_are_others(name: str) -> None:
    texts = ["a", "a\0", "a\0b", "b", "", "\0", "a\\u0000"]
    for payloads in ([{name: text} for text in texts], [{name: [[], text]} for text in texts]):
        assert rows_through({name: "a"}, payloads) == [0]
        assert rows_through({name: {"in": ["a", ""]}}, payloads) == [0, 4]
        assert rows_through({name: {"gt": "a"}}, payloads) == [1, 2, 3, 6]
        assert rows_through({name: {"gte": "a"}}, payloads) == [0, 1, 2, 3, 6]
        assert rows_through({name: {"lt": "a"}}, payloads) == [4, 5]
        assert rows_through({name: {"lte": "a"}}, payloads) == [0, 4, 5]
        assert rows_through({name: "a\\u0000"}, payloads) == [6]


def test_strings_are_ordered_by_code_points() -> None:
    texts = ["Z", "a", "é", "\uffff", "😀"]
    payloads = [{"s": text} for text in texts]
    for i, text in enumerate(texts):
        assert rows_through({"s": {"gt": text}}, payloads) == list(range(i + 1, 5))


def test_integers_beyond_64_bits_are_floats_on_both_sides() -> None:
    payloads = [orjson.loads(f'{{"n": {n}}}') for n in (2**64, 2**64 + 1, -(2**63) - 1, 10**30, 2**53, 2**53 + 1)]
    assert rows_through({"n": 2**64 + 7}, payloads) == [0, 1]
    assert rows_through({"n": {"in": [10**30, -(2**63)]}}, payloads) == [2, 3]
    assert rows_through({"n": {"gte": 2**65}}, payloads) == [3]
    assert rows_through({"n": 2**53 + 1}, payloads) == [5]
    assert rows_through({"n": float(2**53)}, payloads) == [4]


def test_true_and_one_are_different_as_keys() -> None:
    assert parse_filter({"x": True}) != parse_filter({"x": 1})
    assert parse_filter({"x": False}) != parse_filter({"x": 0})
    assert parse_filter({"x": {"in": [True]}}) != parse_filter({"x": {"in": [1]}})
    assert hash(parse_filter({"x": {"in": ["a", 1]}})) == hash(parse_filter({"x": {"in": ["a", 1]}}))


def test_a_filter_becomes_a_tree() -> None:
    (either, negated) = parse_filter({"or": [{"a.b": 1}], "not": {"c": {"exists": False}}}).conditions  # type: ignore[union-attr]
    assert isinstance(either, AnyOf) and isinstance(negated, Not)
    (field,) = either.conditions[0].conditions  # type: ignore[union-attr]
    assert (field.path, field.comparisons[0].operands) == (("a", "b"), (Scalar("number", 1),))
    assert negated.condition.conditions == (Field(("c",), exists=False),)  # type: ignore[union-attr]


def nested(depth: int) -> dict[str, Any]:
    return {"x": 1} if depth == 1 else {"not": nested(depth - 1)}


@pytest.mark.parametrize(
    ("value", "detail"),
    [
        ([], "filter: expected a filter, which is an object, got a list"),
        (None, "filter: expected a filter, which is an object, got null"),
        ({"price": {"lte": [1]}}, "filter/price/lte: expected a number or a string, got a list"),
        ({"price": {"gt": True}}, "filter/price/gt: expected a number or a string, got true"),
        ({"price": {"lt": None}}, "filter/price/lt: expected a number or a string, got null"),
        ({"a": {"eq": {}}}, "filter/a/eq: expected a string, a number, true, false or null, got an object"),
        (
            {"a": [1]},
            "filter/a: expected a string, a number, true, false or null, or an object of operators, got a list",
        ),
        ({"a": {}}, "filter/a: expected at least one operator, eq, in, gt, gte, lt, lte, exists, got none"),
        (
            {"a": {"ne": 1}},
            "filter/a: expected operators, eq, in, gt, gte, lt, lte, exists, got 'ne' "
            "(a field inside of an object is named with a dot, as author.name)",
        ),
        ({"a": {"in": "b"}}, "filter/a/in: expected a list, got a string"),
        ({"a": {"in": [1, []]}}, "filter/a/in/1: expected a string, a number, true, false or null, got a list"),
        (
            {"or": [{"a": {"in": [0] * MAX_CHOICES}}] * 2 + [{"a": 1}]},
            "filter/or/2/a: expected a filter of at most 20000 values in all, got more",
        ),
        (
            {"a": "x" * 2**20, "b": "y"},
            "filter/b: expected a filter whose strings are at most 1048576 bytes together, got more",
        ),
        ({"a": {"in": [0] * (MAX_CHOICES + 1)}}, "filter/a/in: expected at most 10000 values, got 10001"),
        ({"a": {"exists": 1}}, "filter/a/exists: expected true or false, got a number"),
        ({"and": {}}, "filter/and: expected a list of filters, got an object"),
        ({"or": []}, "filter/or: expected a list of at least one filter, got an empty one"),
        ({"or": [{}, 1]}, "filter/or/1: expected a filter, which is an object, got a number"),
        ({"not": [{}]}, "filter/not: expected a filter, which is an object, got a list"),
        ({"and": [{"x": 1}] * 257}, "filter/and/256/x: expected a filter of at most 256 conditions, got more"),
        ({"and": [{}] * 257}, "filter/and/256: expected a filter of at most 256 conditions, got more"),
        (nested(9), "filter" + "/not" * 8 + ": expected at most 8 filters inside one another, got more"),
        ({"é" * 257: 1}, "filter: expected names of at most 512 bytes, got one of 514"),
        ({"a": "b\0"}, r"filter/a: expected a string without U+0000, got 'b\x00'"),
        ({"a": {"lt": "\ud800"}}, r"filter/a/lt: expected Unicode text, got a lone surrogate: '\ud800'"),
        ({"\ud800": 1}, r"filter: expected Unicode text, got a lone surrogate: '\ud800'"),
        ({1: 1}, "filter: expected names that are strings, got a number"),
        (
            {"a": b"x"},
            "filter/a: expected a string, a number, true, false or null, or an object of operators, "
            "got a value of type bytes",
        ),
        ({"a": math.nan}, "filter/a: expected a number that a 64-bit float can hold, got one that is none"),
        (
            {"a": {"in": [10**400]}},
            "filter/a/in/0: expected a number that a 64-bit float can hold, got one that is none",
        ),
    ],
)
def test_what_is_wrong_is_said(value: Any, detail: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse_filter(value)
    assert str(caught.value) == detail
    assert caught.value.status == 422


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.just(10**400)
    | st.just("\udc00"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(
            st.sampled_from(
                ["and", "or", "not", "eq", "in", "gt", "gte", "lt", "lte", "exists", "a", "a.b", "\ud800", 'q"']
            )
            | st.text(max_size=3)
            | st.integers(),
            inner,
            max_size=3,
        )
    ),
    max_leaves=12,
)


@settings(max_examples=500, deadline=None)
@given(JUNK)
def test_anything_else_is_an_invalid_input(value: Any) -> None:
    try:
        condition = parse_filter(value)
    except InvalidInputError as error:
        assert str(error).startswith("filter")
        str(error).encode()
        return
    # What was taken is a filter: it holds or not, by the rules.
    assert condition == parse_filter(value)
    payloads = [{"a": 1, 'q"': ["x"]}, {"a": {"b": None}}, None]
    assert rows_through(value, payloads) == expected(value, payloads)


@pytest.fixture(scope="module")
def many() -> Iterator[list[dict[str, Any]]]:
    yield [{"n": i, "s": f"s{i}", "l": [f"s{i}", i / 2], 'q"': f"s{i}"} for i in range(120)]


@pytest.mark.parametrize("name", ["n", "s", "l", 'q"'])
def test_the_longest_choices(many: list[dict[str, Any]], name: str) -> None:
    condition = {name: {"in": [f"s{i}" for i in range(0, 10_000, 2)] + [*range(0, 10_000, 2)]}}
    assert rows_through(condition, many) == expected(condition, many)


@pytest.mark.parametrize("word", ["and", "or"])
@pytest.mark.parametrize("leaf", [{"s": {"lte": "s2"}}, {"l": {"in": ["s1", 7.5, None]}}, {'q"': {"gt": "s1"}}])
def test_the_largest_filters(many: list[dict[str, Any]], word: str, leaf: dict[str, Any]) -> None:
    condition: dict[str, Any] = {word: [leaf] * 200 + [{"not": {"n": i}} for i in range(40)]}
    for _ in range(5):
        condition = {word: [condition, {"n": {"gte": 3}}], "not": {"n": {"eq": 5}}}
    assert measured(condition) == (8, 250)
    assert rows_through(condition, many) == expected(condition, many)


def test_the_longest_name() -> None:
    deep: Any = 1
    for _ in range(200):
        deep = {"": deep}
    assert rows_through({"." * 199: 1}, [deep, {"": 1}]) == [0]
    assert rows_through({"." * 512: 1, "x" * 512: 1}, [deep]) == []
    assert rows_through({"\x01" * 512: 1, '"' * 512: 2}, [{"\x01" * 512: 1, '"' * 512: 2}, {"\x01" * 511: 1}]) == [0]
