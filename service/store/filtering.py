"""A filter's condition as SQL over the column `payload`: JSON text in UTF-8, as `orjson` writes it, or NULL.

The JSON type of a field's value decides what it is compared with, so values of different kinds are never compared.
json_each, five times as slow, runs only where the value is a list.

SQLite before 3.45 has two traps. It cuts a string at U+0000 when it takes it out of JSON: so wherever a string seems to
equal one of the filter, its JSON text has to equal, too. And its paths know no escape for a double quote: so where one
is in a field's name, the JSON is first written without `\\"` and `\\\\`, by their equals `\\u0022` and `\\u005c`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from service.filters import All, AnyOf, Comparison, Condition, Field, Not, Scalar

Parameter = int | str


def compile_filter(condition: Condition) -> tuple[str, list[Parameter]]:
    """An SQL expression that is 1 or 0, never NULL, for any row with a `payload`; and what its `?` stand for."""
    sql = _condition(condition)
    return sql.text, list(sql.parameters)


class _Sql(NamedTuple):
    text: str
    parameters: tuple[Parameter, ...] = ()


_NEVER = _Sql("0")
_ALWAYS = _Sql("1")


@dataclass(frozen=True)
class _Place:
    """Where a value is: its type, itself, its JSON text; `rewritten` says that this text has no `\\"` and `\\\\`."""

    type: _Sql
    value: _Sql
    json: _Sql
    rewritten: bool


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
    rewritten = any('"' in label for label in labels)
    document = _Sql("CAST(payload AS TEXT)")
    if rewritten:
        document = _Sql(r"replace(replace(CAST(payload AS TEXT), '\\', '\u005c'), '\"', '\u0022')")
        labels = [_rewritten(label) for label in labels]
    path = _bound("$" + "".join(f'."{label}"' for label in labels))
    type_ = _sql("json_type({}, {})", document, path)
    parts = []
    if field.exists is not None:
        parts.append(_sql("{} IS NOT NULL" if field.exists else "{} IS NULL", type_))
    if field.comparisons:
        value, json = _sql("json_extract({}, {})", document, path), _sql("{} -> {}", document, path)
        elements = _sql("json_each({}, {})", document, path)
        parts.append(_compared(field.comparisons, _Place(type_, value, json, rewritten), elements))
    return _joined("AND", parts, _ALWAYS)


def _compared(comparisons: Sequence[Comparison], itself: _Place, elements: _Sql) -> _Sql:
    element = _Place(
        _Sql("element.type"), _Sql("element.value"), _Sql("element.json -> element.fullkey"), itself.rewritten
    )
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
        return _sql("{} IN (SELECT value FROM json_each({}))", place.value, _bound(orjson.dumps(numbers).decode()))
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
    jsons = [_text_json(text, place.rewritten) for text in texts]
    if comparison.operator == "in":
        among = "{} IN (SELECT value FROM json_each({}))"
        return _joined("AND", [_sql(among, place.value, _list(texts)), _sql(among, place.json, _list(jsons))], _NEVER)
    text, json = _bound(texts[0]), _bound(jsons[0])
    seems = _sql("{} = {}", place.value, text)
    match comparison.operator:
        case "eq":
            return _sql("({} AND {} = {})", seems, place.json, json)
        case "gt":
            # What seems to equal it and does not, goes on after a U+0000.
            return _sql("({} > {} OR ({} AND {} <> {}))", place.value, text, seems, place.json, json)
        case "lte":
            return _sql("({} < {} OR ({} AND {} = {}))", place.value, text, seems, place.json, json)
    return _sql(f"{{}} {_SIGNS[comparison.operator]} {{}}", place.value, text)


_SIGNS = {"eq": "=", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def _text_json(text: str, rewritten: bool) -> str:
    written = orjson.dumps(text).decode()
    return f'"{_rewritten(written[1:-1])}"' if rewritten else written


def _rewritten(written: str) -> str:
    return written.replace("\\\\", "\\u005c").replace('\\"', "\\u0022")


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


def _list(texts: list[str]) -> _Sql:
    return _bound(orjson.dumps(texts).decode())
