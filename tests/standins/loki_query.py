"""The part of LogQL that the platform uses in rules and panels: selectors, line filters, `json`
with named fields, label filters, `count_over_time` and `rate`, `sum` and `topk`, comparison with a
number, `or`. What it does not know it refuses, as Loki refuses what it cannot parse.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Labels = Mapping[str, str]
Entry = tuple[int, str, Labels]
"""Time in ns, line, labels of the stream."""
Vector = dict[tuple[tuple[str, str], ...], float]

TOKEN = re.compile(
    r'\s*("(?:[^"\\]|\\.)*"|`[^`]*`|\|=|\|~|!=|!~|=~|>=|<=|==|[{}()\[\],|=<>]'
    r"|\d+(?:\.\d+)?(?:ms|[smhdw])?|[A-Za-z_][A-Za-z0-9_.]*)"
)
UNITS = {"ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
RANGES = ("count_over_time", "rate")


class QueryError(Exception):
    """The query cannot be parsed, or fails on a line."""


def seconds(text: str) -> float:
    """A duration such as `5m` in seconds.

    Raises:
        QueryError: it is none.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|[smhdw])", text)
    if not match:
        raise QueryError(f"not a valid duration string: {text!r}")
    return float(match[1]) * UNITS[match[2]]


@dataclass(frozen=True)
class Pipeline:
    """A selector with its stages; `entries` is what is left of some."""

    matchers: tuple[tuple[str, str, str], ...]
    stages: tuple[Callable[[str, dict[str, str]], bool], ...]

    def entries(self, given: Iterable[Entry]) -> Iterator[tuple[int, str, dict[str, str]]]:
        """What passes, with the labels that stages added."""
        for time, line, stream in given:
            if all(compare(stream.get(name, ""), op, value) for name, op, value in self.matchers):
                labels = dict(stream)
                if all(stage(line, labels) for stage in self.stages):
                    yield time, line, labels


def compare(value: str, operator: str, wanted: str) -> bool:
    """A label's value against a matcher; expressions match as a whole."""
    if operator in ("=", "!="):
        return (value == wanted) == (operator == "=")
    return bool(re.fullmatch(wanted, value)) == (operator == "=~")


class Parser:
    """One query; `expression` gives a function of entries and a time in ns."""

    def __init__(self, text: str) -> None:
        self.words: list[str] = []
        end = 0
        while end < len(text.rstrip()):
            match = TOKEN.match(text, end)
            if not match:
                raise QueryError(f"parse error: unexpected character at {end} of {text!r}")
            self.words.append(match[1])
            end = match.end()
        self.at = 0

    def peek(self, ahead: int = 0) -> str:
        return self.words[self.at + ahead] if self.at + ahead < len(self.words) else ""

    def take(self, wanted: str = "") -> str:
        word = self.peek()
        if not word or (wanted and word != wanted):
            raise QueryError(
                f"parse error: unexpected {word or 'end'}, expecting {wanted or 'more'}"
            )
        self.at += 1
        return word

    def text(self) -> str:
        word = self.take()
        if word[0] == "`":
            return word[1:-1]
        if word[0] != '"':
            raise QueryError(f"parse error: unexpected {word}, expecting STRING")
        return str(json.loads(word))

    def expression(self) -> Callable[[list[Entry], int], Vector]:
        """A metric query."""
        made = self.comparison()
        while self.peek() == "or":
            self.take()
            made = _either(made, self.comparison())
        return made

    def comparison(self) -> Callable[[list[Entry], int], Vector]:
        left = self.term()
        if self.peek() not in (">", "<", ">=", "<=", "=="):
            return left
        operator, limit = self.take(), float(self.take())
        holds = {
            ">": lambda v: v > limit,
            "<": lambda v: v < limit,
            ">=": lambda v: v >= limit,
            "<=": lambda v: v <= limit,
            "==": lambda v: v == limit,
        }[operator]
        return lambda entries, now: {k: v for k, v in left(entries, now).items() if holds(v)}

    def term(self) -> Callable[[list[Entry], int], Vector]:
        word = self.take()
        if word == "sum":
            return self.aggregation()
        if word == "topk":
            self.take("(")
            count = int(self.take())
            self.take(",")
            inner = self.expression()
            self.take(")")
            return lambda entries, now: dict(
                sorted(inner(entries, now).items(), key=lambda item: -item[1])[:count]
            )
        if word in RANGES:
            return self.range(word)
        if word == "(":
            inner = self.expression()
            self.take(")")
            return inner
        raise QueryError(f"parse error: unexpected {word}")

    def aggregation(self) -> Callable[[list[Entry], int], Vector]:
        by: tuple[str, ...] = ()
        if self.peek() == "by":
            self.take()
            by = self.names()
        self.take("(")
        inner = self.expression()
        self.take(")")

        def total(entries: list[Entry], now: int) -> Vector:
            sums: Vector = {}
            for labels, value in inner(entries, now).items():
                key = tuple((n, v) for n, v in labels if n in by)
                sums[key] = sums.get(key, 0) + value
            return sums

        return total

    def names(self) -> tuple[str, ...]:
        self.take("(")
        found = [self.take()]
        while self.peek() == ",":
            self.take()
            found.append(self.take())
        self.take(")")
        return tuple(found)

    def range(self, function: str) -> Callable[[list[Entry], int], Vector]:
        self.take("(")
        pipeline = self.pipeline()
        self.take("[")
        width = seconds(self.take())
        self.take("]")
        self.take(")")

        def count(entries: list[Entry], now: int) -> Vector:
            found: Vector = {}
            recent = [e for e in entries if now - width * 1e9 < e[0] <= now]
            for _, _, labels in pipeline.entries(recent):
                if labels.get("__error__"):
                    raise QueryError(f"pipeline error: '{labels['__error__']}'")
                key = tuple(sorted(labels.items()))
                found[key] = found.get(key, 0) + (1 / width if function == "rate" else 1)
            return found

        return count

    def pipeline(self) -> Pipeline:
        """A log query: a selector and stages."""
        matchers = self.selector()
        stages: list[Callable[[str, dict[str, str]], bool]] = []
        while self.peek() in ("|=", "|~", "!=", "!~", "|"):
            word = self.take()
            if word != "|":
                stages.append(_line_filter(word, self.text()))
            elif self.peek() == "json":
                self.take()
                stages.append(_json_fields(self.fields()))
            else:
                name, operator = self.take(), self.take()
                if operator not in ("=", "!=", "=~", "!~"):
                    raise QueryError(f"parse error: unexpected {operator}")
                stages.append(_label_filter(name, operator, self.text()))
        return Pipeline(matchers, tuple(stages))

    def selector(self) -> tuple[tuple[str, str, str], ...]:
        self.take("{")
        found = []
        while self.peek() != "}":
            name, operator = self.take(), self.take()
            if operator not in ("=", "!=", "=~", "!~"):
                raise QueryError(f"parse error: unexpected {operator}")
            found.append((name, operator, self.text()))
            if self.peek() == ",":
                self.take()
        self.take("}")
        if not any(op in ("=", "=~") and not compare("", op, value) for _, op, value in found):
            raise QueryError(
                "parse error: queries require at least one regexp or equality matcher that does"
                " not have an empty-compatible value"
            )
        return tuple(found)

    def fields(self) -> dict[str, str]:
        """`name="path"` of a json stage; empty when all fields are wanted."""
        found: dict[str, str] = {}
        while self.peek(1) == "=" and self.peek(2).startswith('"'):
            name = self.take()
            self.take("=")
            found[name] = self.text()
            if self.peek() != ",":
                break
            self.take()
        return found

    def end(self) -> None:
        if self.peek():
            raise QueryError(f"parse error: unexpected {self.peek()}")


def _either(left: Any, right: Any) -> Callable[[list[Entry], int], Vector]:
    return lambda entries, now: {**right(entries, now), **left(entries, now)}


def _line_filter(operator: str, text: str) -> Callable[[str, dict[str, str]], bool]:
    if operator in ("|=", "!="):
        return lambda line, _: (text in line) == (operator == "|=")
    pattern = re.compile(text)
    return lambda line, _: bool(pattern.search(line)) == (operator == "|~")


def _label_filter(name: str, operator: str, text: str) -> Callable[[str, dict[str, str]], bool]:
    return lambda _, labels: compare(labels.get(name, ""), operator, text)


def _json_fields(fields: Mapping[str, str]) -> Callable[[str, dict[str, str]], bool]:
    def parse(line: str, labels: dict[str, str]) -> bool:
        try:
            document = json.loads(line)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            labels["__error__"] = "JSONParserErr"
            return True
        for name, path in (fields or {key: key for key in document}).items():
            value: Any = document
            for step in path.split("."):
                value = value.get(step) if isinstance(value, dict) else None
            if isinstance(value, dict | list):
                value = json.dumps(value, separators=(",", ":"))
            if value is not None:
                labels[name] = value if isinstance(value, str) else json.dumps(value)
        return True

    return parse


def parse_metric(text: str) -> Callable[[list[Entry], int], Vector]:
    """A metric query.

    Raises:
        QueryError: it is none, or uses what is not known here.
    """
    parser = Parser(text)
    made = parser.expression()
    parser.end()
    return made


def parse_log(text: str) -> Pipeline:
    """A log query.

    Raises:
        QueryError: it is none, or uses what is not known here.
    """
    parser = Parser(text)
    made = parser.pipeline()
    parser.end()
    return made
