"""The name server of a run."""

from __future__ import annotations

import importlib.util
import json
import struct

import pytest

from tests.testbed.places import HERE

_SPEC = importlib.util.spec_from_file_location("resolver", HERE / "lab" / "resolver.py")
resolver = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(resolver)

NAMES = {"coder.x": "10.0.0.1", "*.coder.x": "10.0.0.2"}


def question(name, kind=1):
    labels = b"".join(bytes([len(p)]) + p.encode() for p in name.split("."))
    return b"\x12\x34" + struct.pack(">HHHHH", 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack(
        ">HH", kind, 1
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "kind", "code", "address"),
    [
        ("coder.x", 1, 0, "10.0.0.1"),
        ("CODER.x", 1, 0, "10.0.0.1"),
        ("app.coder.x", 1, 0, "10.0.0.2"),
        ("a.app.coder.x", 1, 3, None),
        ("other.x", 1, 3, None),
        ("coder.x", 28, 0, None),
    ],
)
def test_names_and_wildcards_are_answered(name, kind, code, address):
    answer = resolver.make_answer(question(name, kind), NAMES)
    assert answer[:2] == b"\x12\x34"
    flags, asked, found = struct.unpack(">HHH", answer[2:8])
    assert (flags & 0xF, asked, found) == (code, 1, 1 if address else 0)
    if address:
        assert ".".join(map(str, answer[-4:])) == address


def test_the_file_is_read_for_every_question(tmp_path):
    (tmp_path / "names.json").write_text(json.dumps({"a.x": "10.0.0.1"}))
    assert resolver.read_names(tmp_path / "names.json", ["no-such.invalid"]) == {"a.x": "10.0.0.1"}
    (tmp_path / "names.json").write_text("{}")
    assert resolver.read_names(tmp_path / "names.json", []) == {}


def test_a_packet_that_is_no_question_is_an_error_and_not_an_answer():
    with pytest.raises((IndexError, struct.error)):
        resolver.make_answer(b"\x00" * 12, NAMES)
