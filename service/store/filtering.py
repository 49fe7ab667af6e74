"""A filter's condition as SQL over the column `payload`: JSON text in UTF-8, as `orjson` writes it, or NULL.

The JSON type of a field's value decides what it is compared with, so values of different kinds never meet.
json_each, several times as slow, runs only where the value is a list.

SQLite reads escapes in two wrong ways, differing by version: U+0000 ends a string or a name, and a path cannot hold a
double quote. So where they matter the JSON is first rewritten to mean the same without them: `\\\\` and `\\"` become
`\\u005c` and `\\u0022`, and `\\u0000` becomes `\\ud800`, half of a surrogate pair, which no payload can hold.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import orjson

from service.filters import All, AnyOf, Comparison, Condition, Field, Not, Scalar

Parameter = int | str
Compiled = tuple[str, list[Parameter]]


def compile_filter(condition: Condition) -> Compiled:
    """An SQL expression that is 1 or 0, never NULL, for any row with a `payload`; and what its `?` stand for.

    Of a long filter this takes tens of milliseconds: what evaluates it in slices compiles it once.
    """
    sql = _condition(condition)
    return sql.text, list(sql.parameters)


class _Sql(NamedTuple):
    text: str
    parameters: tuple[Parameter, ...] = ()


_NEVER = _Sql("0")
_ALWAYS = _Sql("1")


class _Place(NamedTuple):
    """Where a value is: its JSON type, and itself."""

    type: _Sql
    value: _Sql


# The escapes that are rewritten, the backslash's first: then each of the others stands for itself.
_ESCAPES = (("\\\\", "\\u005c"), ('\\"', "\\u0022"), ("\\u0000", "\\ud800"))
_TEXT = "CAST(payload AS TEXT)"
_REWRITTEN = _TEXT
for _escape, _equal in _ESCAPES:
    _REWRITTEN = f"replace({_REWRITTEN}, '{_escape}', '{_equal}')"
_HAS_NUL = r"instr(payload, CAST('\u0000' AS BLOB))"
_READABLE = f"CASE WHEN {_HAS_NUL} THEN {_REWRITTEN} ELSE {_TEXT} END"
_ORDERED = "replace({}, CAST(x'eda080' AS TEXT), char(0))"


def _condition(condition: Condition) -> _Sql:
    match condition:
        case All(conditions):
            return _joined("AND", map(_condition, conditions), _ALWAYS)
        case AnyOf(conditions):
            return _joined("OR", map(_condition, conditions), _NEVER)
        case Not(inner):
            return _sql("NOT {}", _condition(inner))
        case Field():
            return _field(condition)


def _field(field: Field) -> _Sql:
    labels = [orjson.dumps(name).decode()[1:-1] for name in field.path]
    rewritten = [_rewritten(label) for label in labels]
    document = _Sql(_READABLE if rewritten == labels else _REWRITTEN)
    path = _bound("$" + "".join(f'."{label}"' for label in rewritten))
    itself = _Place(_sql("json_type({}, {})", document, path), _sql("json_extract({}, {})", document, path))
    parts = []
    if field.exists is not None:
        parts.append(_sql("{} IS NOT NULL" if field.exists else "{} IS NULL", itself.type))
    if field.comparisons:
        parts.append(_compared(field.comparisons, itself, _sql("json_each({}, {})", document, path)))
    return _joined("AND", parts, _ALWAYS)


def _compared(comparisons: Sequence[Comparison], itself: _Place, elements: _Sql) -> _Sql:
    element = _Place(_Sql("element.type"), _Sql("element.value"))
    cases = _cases(comparisons, element)
    if not cases:
        return _NEVER
    of_element = _sql("CASE {} {} ELSE 0 END", element.type, _spaced(cases))
    of_list = _sql("WHEN 'array' THEN EXISTS (SELECT 1 FROM {} AS element WHERE {})", elements, of_element)
    return _sql("CASE {} {} {} ELSE 0 END", itself.type, _spaced(_cases(comparisons, itself)), of_list)


def _cases(comparisons: Sequence[Comparison], place: _Place) -> list[_Sql]:
    """What holds for each JSON type of which any value can satisfy all comparisons."""
    cases = [
        _Sql(f"WHEN '{kind}' THEN 1")
        for kind in ("null", "false", "true")
        if all(any(operand.kind == kind for operand in _equals(comparison)) for comparison in comparisons)
    ]
    numbers = [_number_test(comparison, place) for comparison in comparisons]
    if _NEVER not in numbers:
        passes = _joined("AND", numbers, _ALWAYS)
        cases += [_sql("WHEN 'integer' THEN {}", passes), _sql("WHEN 'real' THEN {}", passes)]
    texts = [_text_test(comparison, place) for comparison in comparisons]
    if _NEVER not in texts:
        cases.append(_sql("WHEN 'text' THEN {}", _joined("AND", texts, _ALWAYS)))
    return cases


def _equals(comparison: Comparison) -> tuple[Scalar, ...]:
    return comparison.operands if comparison.operator in ("eq", "in") else ()


def _number_test(comparison: Comparison, place: _Place) -> _Sql:
    numbers = [operand.value for operand in comparison.operands if operand.kind == "number"]
    if not numbers:
        return _NEVER
    if comparison.operator == "in":
        return _sql(_AMONG, place.value, _bound(orjson.dumps(numbers).decode()))
    number = _number(orjson.dumps(numbers[0]).decode())
    return _sql(f"{{}} {_SIGNS[comparison.operator]} {{}}", place.value, number)


def _number(digits: str) -> _Sql:
    """A number that SQLite reads from the same digits, in the same way, as it reads those of a payload."""
    if digits.lstrip("-").isdigit() and -(2**63) <= int(digits) < 2**63:
        return _bound(int(digits))
    return _sql("CAST({} AS REAL)", _bound(digits))


def _text_test(comparison: Comparison, place: _Place) -> _Sql:
    texts = [str(operand.value) for operand in comparison.operands if operand.kind == "text"]
    if not texts:
        return _NEVER
    match comparison.operator:
        case "in":
            return _sql(_AMONG, place.value, _bound(orjson.dumps(texts).decode()))
        case "eq":
            return _sql("{} = {}", place.value, _bound(texts[0]))
    return _sql(f"{_ORDERED} {_SIGNS[comparison.operator]} {{}}", place.value, _bound(texts[0]))


_AMONG = "{} IN (SELECT value FROM json_each({}))"
_SIGNS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _rewritten(json: str) -> str:
    for escape, equal in _ESCAPES:
        json = json.replace(escape, equal)
    return json


def _sql(template: str, *parts: _Sql) -> _Sql:
    """The template with each `{}` filled, in order, and so with the parameters in the order of their `?`."""
    text = template.format(*(part.text for part in parts))
    return _Sql(text, tuple(parameter for part in parts for parameter in part.parameters))


def _joined(word: str, parts: Iterable[_Sql], none: _Sql) -> _Sql:
    found = list(parts)
    if len(found) < 2:
        return found[0] if found else none
    return _sql("(" + f" {word} ".join(["{}"] * len(found)) + ")", *found)


def _spaced(parts: Sequence[_Sql]) -> _Sql:
    return _sql(" ".join(["{}"] * len(parts)), *parts)


def _bound(value: Parameter) -> _Sql:
    return _Sql("?", (value,))
