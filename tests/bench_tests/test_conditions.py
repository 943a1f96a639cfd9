"""What a machine lacks is named, and only the rows that need it are left out."""

import os

import pytest

from tests.bench import __main__ as bench
from tests.bench import netlab


def test_without_root_there_is_no_lab(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "not root" in netlab.why_no_lab()


@pytest.mark.parametrize("program", ["ip", "ssh", "sshd", "tar"])
def test_a_missing_program_is_named_with_its_package(monkeypatch, program):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(
        netlab.shutil, "which", lambda name, path=None: None if name == program else name
    )
    assert f"{program} is not installed (package " in netlab.why_no_lab()


def test_without_a_compiler_or_tun_there_is_no_delay(monkeypatch, tmp_path):
    monkeypatch.setattr(netlab.shutil, "which", lambda name: None)
    assert "gcc" in netlab.why_no_delay()
    monkeypatch.setattr(netlab.shutil, "which", lambda name: name)
    monkeypatch.setattr(netlab, "TUN", tmp_path / "tun")
    assert str(tmp_path / "tun") in netlab.why_no_delay()


def test_rows_that_cannot_be_measured_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(netlab, "why_no_lab", lambda: "not root: no namespaces")
    notes = []
    assert bench.ship(tmp_path, 1, [0, 50], notes) == []
    assert notes == ["left out: every row of shipping (not root: no namespaces)"]


def test_an_unknown_area_is_refused(capsys):
    with pytest.raises(SystemExit) as left:
        bench.main(["speed"])
    assert left.value.code == 2
    assert "no such area: speed" in capsys.readouterr().err
