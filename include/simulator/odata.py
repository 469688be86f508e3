"""OData as far as the API is known to speak it: $filter, $orderby and $select.

A tokenizer, then a recursive descent that builds closures. An expression takes the row and the element that a
lambda is looking at. What is not in this grammar raises `invalidRequest`.

    or      = and *("or" and)            and   = not *("and" not)           not = "not" not / term
    term    = "(" or ")" / path "/any(" name ":" or ")" / operand [op operand]
    operand = path / 'string' / guid / datetime / number / true / false / null
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from simulator.errors import refuse_request
from simulator.values import OPERATORS, PROPERTIES, Expression, Operand, comparison, literal

TOKEN = re.compile(
    r"""(?P<space>[ \t]+)
    |(?P<string>'(?:[^']|'')*')
    |(?P<guid>[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})(?!\w)
    |(?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,12})?)?(?:Z|[+-]\d\d:\d\d))(?!\w)
    |(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.])
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>[()/:])""",
    re.VERBOSE | re.ASCII,
)
CONSTANTS = {"true": ("bool", True), "false": ("bool", False), "null": ("null", None)}
KEYWORDS = OPERATORS.keys() | CONSTANTS.keys() | {"and", "or", "not", "any", "all"}
MAX_DEPTH = 50


@dataclass(frozen=True)
class Filter:
    """A parsed $filter: `accepts(row)`, and the top-level properties that it looks at."""

    expression: Expression
    roots: frozenset[str]

    def accepts(self, row: Mapping[str, Any]) -> bool:
        """Say whether the row passes."""
        return self.expression(row, None) is True


@dataclass
class _Parser:
    text: str
    tokens: list[tuple[str, str]] = field(default_factory=list)
    at: int = 0
    depth: int = 0
    variable: str | None = None
    roots: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        position = 0
        while position < len(self.text):
            found = TOKEN.match(self.text, position)
            if found is None:
                self.refuse(f"unexpected character at {position}")
            if found.lastgroup != "space":
                self.tokens.append((found.lastgroup or "", found.group()))
            position = found.end()
        self.tokens.append(("end", ""))

    def refuse(self, why: str) -> NoReturn:
        refuse_request(f"The $filter is not understood: {why}.", "$filter")

    def peek(self) -> str:
        return self.tokens[self.at][1]

    def take(self, wanted: str | None = None) -> tuple[str, str]:
        token = self.tokens[self.at]
        if token[0] == "end" or (wanted is not None and token[1] != wanted):
            self.refuse(f"{wanted or 'something'} expected before {token[1] or 'the end'}")
        self.at += 1
        return token

    def taken(self, word: str) -> bool:
        if self.tokens[self.at][0] != "string" and self.peek() == word:
            self.at += 1
            return True
        return False

    def parse(self) -> Filter:
        expression = self.either()
        if self.tokens[self.at][0] != "end":
            self.refuse(f"unexpected {self.peek()}")
        return Filter(expression, frozenset(self.roots))

    def either(self) -> Expression:
        parts = [self.both()]
        while self.taken("or"):
            parts.append(self.both())
        return parts[0] if len(parts) == 1 else lambda row, item: any(part(row, item) is True for part in parts)

    def both(self) -> Expression:
        parts = [self.negation()]
        while self.taken("and"):
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else lambda row, item: all(part(row, item) is True for part in parts)

    def negation(self) -> Expression:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            self.refuse("it is nested too deeply")
        if self.taken("not"):
            inner = self.negation()
            expression: Expression = lambda row, item: inner(row, item) is not True  # noqa: E731
        else:
            expression = self.term()
        self.depth -= 1
        return expression

    def term(self) -> Expression:
        if self.taken("("):
            inner = self.either()
            self.take(")")
            return inner
        left = self.operand()
        if isinstance(left, Operand) and self.peek() in OPERATORS:
            name = self.take()[1]
            right = self.operand()
            if isinstance(right, Operand):
                return comparison(name, left, right)
            self.refuse("a lambda cannot be compared")
        if isinstance(left, Operand):
            if left.kind not in ("path", "bool"):
                self.refuse("a comparison is missing")
            return left.read
        return left

    def operand(self) -> Operand | Expression:
        kind, text = self.take()
        if kind == "name":
            return self.constant(text) if text in CONSTANTS else self.path(text)
        if kind == "mark":
            self.refuse(f"unexpected {text}")
        value = literal(kind, text)
        if value is None:
            self.refuse(f"{text} is no time")
        return Operand(kind, lambda _row, _item: value)

    @staticmethod
    def constant(text: str) -> Operand:
        kind, value = CONSTANTS[text]
        return Operand(kind, lambda _row, _item: value)

    def path(self, first: str) -> Operand | Expression:
        of_item = first == self.variable
        if not of_item:
            if first not in PROPERTIES:
                self.refuse(f"a referral has no property {first}")
            self.roots.add(first)
        steps = [] if of_item else [first]
        while self.taken("/"):
            kind, step = self.take()
            if step == "any":
                return self.any(_reader(of_item, steps))
            if kind != "name" or step in KEYWORDS:
                self.refuse(f"unexpected {step} in a path")
            steps.append(step)
        return Operand("path", _reader(of_item, steps))

    def any(self, collection: Expression) -> Expression:
        if self.variable is not None:
            self.refuse("a lambda in a lambda")
        self.take("(")
        kind, variable = self.take()
        if kind != "name" or variable in KEYWORDS | PROPERTIES:
            self.refuse(f"{variable} cannot be a lambda's variable")
        self.take(":")
        self.variable = variable
        inner = self.either()
        self.variable = None
        self.take(")")

        def found(row: Any, _item: Any) -> bool:
            items = collection(row, None)
            return isinstance(items, list) and any(inner(row, item) is True for item in items)

        return found


def _reader(of_item: bool, steps: list[str]) -> Expression:
    def read(row: Any, item: Any) -> Any:
        value = item if of_item else row
        for step in steps:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value

    return read


def parse_filter(text: str) -> Filter:
    """Parse a $filter.

    Raises:
        ApiError: 400 `invalidRequest`, for whatever the grammar above does not hold.
    """
    return _Parser(text).parse()


def parse_orderby(text: str) -> list[tuple[str, bool]]:
    """Parse an $orderby to (property, descending) pairs."""
    keys = []
    for part in text.split(","):
        words = part.split()
        times = ("createdDateTime", "updatedDateTime")
        if not 1 <= len(words) <= 2 or words[0] not in times or words[1:] not in ([], ["asc"], ["desc"]):
            problem = f"$orderby takes createdDateTime or updatedDateTime, then asc or desc; not {part.strip()!r}."
            refuse_request(problem, "$orderby")
        keys.append((words[0], words[1:] == ["desc"]))
    return keys


def parse_select(text: str) -> list[str]:
    """Parse a $select to top-level property names."""
    names = [name.strip() for name in text.split(",")]
    unknown = [name for name in names if name not in PROPERTIES]
    if unknown:
        refuse_request(f"$select: a referral has no property {unknown[0]!r}.", "$select")
    return names
