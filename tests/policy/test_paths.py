"""Paths and operators of the hardening table, each with what holds and what does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.core.policy.operators import OPERATORS, find_faults, holds
from installer.core.policy.paths import parse_path, select
from installer.core.policy.quantities import parse_duration, parse_size
from tests.policy.builders import hardening_table

DOCUMENT = {
    "a": {"b": 1},
    "list": [{"kind": "x", "v": 1}, {"kind": "y", "v": 2}, {"kind": "x"}],
    "map": {"one": {"v": 1}, "two": {"v": 2}},
    "mounts": [{"is_config": True, "v": 1}, {"is_config": False, "v": 2}],
    "max-size": "1m",
}


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("a.b", (1,)),
        ("a.c", (None,)),
        ("a.b.c", (None,)),
        ("missing.b", (None,)),
        ("list.*.v", (1, 2, None)),
        ("list[kind=x].v", (1, None)),
        ("list[kind=z].v", ()),
        ("map.*.v", (1, 2)),
        ("missing.*", ()),
        ("missing[kind=x].v", ()),
        ("mounts[config].v", (1,)),
        ("mounts[Destination in config or secret].v", (1,)),
        ("max-size", ("1m",)),
        ("services.*.a.b", (1,)),
    ],
)
def test_a_path_leads_to_values(path: str, values: tuple[Any, ...]) -> None:
    assert select(DOCUMENT, path).values == values


@pytest.mark.parametrize("path", ["", "a[", "a]b", "a[kind]", "a..b", "services.*."])
def test_what_is_no_path_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r"path|filter"):
        parse_path(path)


@pytest.mark.parametrize(
    ("op", "argument", "good", "bad"),
    [
        ("eq", False, [False], [True, None, 0, "false", ""]),
        ("eq", "", ["", None], ["x", 0, False]),
        ("ne", "host", ["", None, "private"], ["host"]),
        ("in", [None, False], [None, False, ""], [True, 0, "no"]),
        ("not_in", ["", "unconfined"], ["docker-default"], ["", None, "unconfined"]),
        ("ge", 1, [1, 2, 1.5], [0, None, "1", True, -1]),
        ("le", 3, [3, 0], [4, None]),
        ("between", [16, 4096], [16, 4096], [15, 4097, None, 0, -1, "100"]),
        ("between", [16, None], [16, 10**12], [15]),
        ("contains", "ALL", [["ALL"], ["X", "ALL"]], [None, [], ["ALL "], ["X"]]),
        ("contains_all", ["a", "b"], [["b", "c", "a"]], [["a"], None]),
        ("subset_of", ["a", "b"], [None, [], ["a"], ["b", "a"]], [["c"], ["a", "c"]]),
        ("empty", None, [None, "", [], {}], [0, False, "x", [None]]),
        ("present", None, ["x", 0, [None]], [None, "", [], {}]),
        ("matches", "a+", ["a", "aaa"], ["", None, "ab", "a\n", "ba"]),
        ("not_matches", "a+", ["", None, "b"], ["xax"]),
        ("key_has", "k", [{"k": None}], [{}, None, ["k"], "k"]),
    ],
)
def test_each_operator_holds_and_fails(
    op: str, argument: Any, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert holds(op, value, argument), value
    for value in bad:
        assert not holds(op, value, argument), value


@pytest.mark.parametrize(
    ("op", "value", "faults"),
    [
        ("each", ["ab", "b", "ac"], ["b"]),
        ("none", ["ab", "b", "ac"], ["ab", "ac"]),
        ("none", {"a": 1, "b": None}, ["a=1"]),
        ("each", None, []),
        ("none", "a", ["a"]),
    ],
)
def test_each_and_none_range_over_lists_mappings_and_single_values(
    op: str, value: Any, faults: list[str]
) -> None:
    found = find_faults(op, {"op": "matches", "value": "a.*"}, select({"x": value}, "x"))
    assert [fault for _, fault in found] == faults


def test_none_of_a_mapping_has_the_key_looks_at_the_mapping_itself() -> None:
    inner = {"op": "key_has", "value": "bridge"}
    assert find_faults("none", inner, select({"n": {"bridge": {}}}, "n"))
    assert not find_faults("none", inner, select({"n": {"other": {"bridge": 1}}}, "n"))


def test_an_element_that_is_named_must_be_there() -> None:
    assert find_faults("eq", 0, select({"u": [{"Name": "nofile", "Hard": 0}]}, "u[Name=core].Hard"))
    assert not find_faults("eq", True, select({"m": []}, "m[config].read_only"))


def test_the_tables_operators_are_the_products() -> None:
    assert set(hardening_table().operators) == OPERATORS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(JSON, st.sampled_from(["a", "a.b", "*", "a.*.b", "a[k=v].b", "a[config]"]))
def test_a_path_into_any_document_finds_something_or_nothing_and_never_breaks(
    document: Any, path: str
) -> None:
    selection = select({"a": document}, path)
    assert selection.plural or len(selection.values) == 1


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("512m", 536870912),
        ("512M", 536870912),
        ("1g", 1073741824),
        ("1.5GiB", 1610612736),
        ("64mb", 67108864),
        ("100", 100),
        ("-1", -1),
        (100, 100),
        (None, None),
        ("much", "much"),
    ],
)
def test_sizes_are_read_as_the_engine_reads_them(text: Any, size: Any) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("2h", 7200), ("soon", "soon"), ("", ""), (9, 9)],
)
def test_durations_are_read_as_compose_reads_them(text: Any, seconds: Any) -> None:
    assert parse_duration(text) == seconds
