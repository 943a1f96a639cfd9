"""Reading known_hosts files and judging host keys; no server takes part (F-009, F-010, F-011)."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from installer.adapters.known_hosts import (
    HostKey,
    KnownHosts,
    parse_known_hosts,
    read_known_hosts,
)
from installer.core.errors import LocalIoError

SUPPORTED = ("ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256")


def make_key(kind: str = "ssh-ed25519", seed: bytes = b"a") -> HostKey:
    name = kind.encode()
    body = hashlib.sha256(seed).digest()
    blob = len(name).to_bytes(4, "big") + name + len(body).to_bytes(4, "big") + body
    return HostKey(kind, blob)


def hashed(name: str) -> str:
    salt = hashlib.sha256(name.encode()).digest()[:20]
    digest = hmac.new(salt, name.encode(), hashlib.sha1).digest()
    return f"|1|{base64.b64encode(salt).decode()}|{base64.b64encode(digest).decode()}"


def parse(*lines: str) -> KnownHosts:
    return parse_known_hosts("\n".join(lines) + "\n", "kh")


KEY, OTHER = make_key(), make_key(seed=b"b")
RSA, ECDSA = make_key("ssh-rsa"), make_key("ecdsa-sha2-nistp256")


@pytest.mark.parametrize(
    ("names", "host", "port", "verdict"),
    [
        ("h.example", "h.example", 22, "accepted"),
        ("H.Example", "h.example", 22, "accepted"),
        ("h.example", "H.EXAMPLE", 22, "accepted"),
        ("h.example", "g.example", 22, "unknown"),
        ("a,h.example,b", "h.example", 22, "accepted"),
        ("*.example", "h.example", 22, "accepted"),
        ("*.example", "hexample", 22, "unknown"),
        ("h?.example", "h1.example", 22, "accepted"),
        ("h?.example", "h.example", 22, "unknown"),
        ("*.example,!h.example", "h.example", 22, "unknown"),
        ("!h.example,*.example", "h.example", 22, "unknown"),
        ("*.example,!h.example", "g.example", 22, "accepted"),
        ("!h.example", "g.example", 22, "unknown"),
        ("[h.example]:2222", "h.example", 2222, "accepted"),
        ("[h.example]:2222", "h.example", 22, "unknown"),
        ("[h.example]:2222", "h.example", 2223, "unknown"),
        ("[*.example]:2222", "h.example", 2222, "accepted"),
        ("[::1]:2222", "::1", 2222, "accepted"),
        ("::1", "::1", 22, "accepted"),
        ("h.example", "h.example", 2222, "accepted"),
        ("h.exa+ple", "h.exa+ple", 22, "accepted"),
        (hashed("h.example"), "h.example", 22, "accepted"),
        (hashed("h.example"), "H.Example", 22, "accepted"),
        (hashed("g.example"), "h.example", 22, "unknown"),
        (hashed("[h.example]:2222"), "h.example", 2222, "accepted"),
        (hashed("[h.example]:2222"), "h.example", 22, "unknown"),
    ],
)
def test_a_line_speaks_of_the_hosts_it_names(
    names: str, host: str, port: int, verdict: str
) -> None:
    assert parse(f"{names} {KEY} comment here").lookup(host, port).verdict(KEY) == verdict


def test_another_key_of_a_recorded_host_is_changed() -> None:
    """F-010."""
    known = parse(f"h {RSA}", f"h {KEY}").lookup("h", 22)
    assert known.verdict(OTHER) == "changed"
    entry = known.recorded(OTHER)
    assert entry is not None
    assert (entry.key, entry.place) == (KEY, "kh:2")


def test_a_key_of_a_type_not_recorded_is_changed_too() -> None:
    """The server was asked for the recorded type first: that it shows another means it lost it."""
    assert parse(f"h {KEY}").lookup("h", 22).verdict(RSA) == "changed"


def test_a_key_recorded_without_the_port_never_makes_another_one_changed() -> None:
    assert parse(f"h {KEY}").lookup("h", 2222).verdict(OTHER) == "unknown"


def test_a_host_recorded_only_by_keys_nobody_can_negotiate_is_unknown() -> None:
    assert parse(f"h {make_key('ssh-dss')}").lookup("h", 22).verdict(KEY) == "unknown"


@pytest.mark.parametrize("names", ["h", "*", hashed("h")])
def test_a_revoked_key_is_refused_even_when_it_is_also_recorded(names: str) -> None:
    """F-011."""
    known = parse(f"h {KEY}", f"@revoked {names} {KEY}").lookup("h", 22)
    assert known.verdict(KEY) == "revoked"


def test_a_key_revoked_under_the_plain_name_is_refused_at_any_port() -> None:
    """F-011."""
    known = parse(f"[h]:2222 {KEY}", f"@revoked h {KEY}").lookup("h", 2222)
    assert known.verdict(KEY) == "revoked"


def test_a_revocation_does_not_touch_other_keys() -> None:
    """F-011."""
    known = parse(f"@revoked h {OTHER}", f"h {KEY}").lookup("h", 22)
    assert known.verdict(KEY) == "accepted"


def test_an_authority_accepts_nothing_and_a_notice_says_so() -> None:
    """F-011."""
    hosts = parse(f"@cert-authority *.example {KEY}", f"g.example {OTHER}")
    assert hosts.lookup("h.example", 22).verdict(KEY) == "unknown"
    assert len(hosts.lookup("h.example", 22).authorities) == 1
    assert hosts.lookup("g.example", 22).verdict(OTHER) == "accepted"
    assert "not used for acceptance" in " ".join(hosts.notes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("h", "no name"),
        ("h ssh-ed25519", "no name"),
        ("h ssh-ed25519 %%%", "base64"),
        ("h ssh-ed25519 AAAA", "type"),
        (f"h ssh-rsa {str(KEY).split()[1]}", "type"),
        ("h 1024 35 123456", "version 1"),
        (f"@unheard-of h {KEY}", "marker"),
        ("@revoked", "no name"),
        (f"|2|abc|def {KEY}", "hashed"),
        ("\x00\xff\ufffd", "no name"),
    ],
)
def test_a_line_that_cannot_be_used_becomes_a_note_and_the_rest_is_read(
    line: str, said: str
) -> None:
    hosts = parse("# comment", "", line, f"h {KEY}")
    assert hosts.lookup("h", 22).verdict(KEY) == "accepted"
    assert hosts.lookup("h", 22).verdict(OTHER) == "changed"
    assert len(hosts.notes) == 1
    assert hosts.notes[0].startswith("kh:3:")
    assert said in hosts.notes[0]


def test_files_with_windows_line_ends_and_tabs_are_read() -> None:
    hosts = parse_known_hosts(f"# c\r\n\tg,h\t{KEY.type}\t{str(KEY).split()[1]}\r\n", "kh")
    assert hosts.lookup("h", 22).verdict(KEY) == "accepted"
    assert hosts.notes == ()


def test_the_server_is_asked_first_for_the_keys_we_know() -> None:
    known = parse(f"h {RSA}", f"h {ECDSA}").lookup("h", 22)
    assert known.key_algorithms(SUPPORTED) == (
        "rsa-sha2-512",
        "rsa-sha2-256",
        "ecdsa-sha2-nistp256",
        "ssh-ed25519",
    )
    assert parse().lookup("h", 22).key_algorithms(SUPPORTED) == SUPPORTED


def test_a_fingerprint_is_what_ssh_keygen_prints() -> None:
    """The key and fingerprint that GitHub publishes for github.com."""
    blob = base64.b64decode("AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
    assert HostKey("ssh-ed25519", blob).fingerprint == (
        "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"
    )


def test_several_files_are_read_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    (tmp_path / "one").write_text(f"h {KEY}\n")
    (tmp_path / "two").write_text(f"@revoked h {KEY}\n")
    paths = [str(tmp_path / name) for name in ("one", "missing", "two")]
    assert read_known_hosts(paths).lookup("h", 22).verdict(KEY) == "revoked"


def test_a_file_that_cannot_be_read_is_an_error_of_this_machine(tmp_path: Path) -> None:
    with pytest.raises(LocalIoError) as caught:
        read_known_hosts([str(tmp_path)])
    assert str(tmp_path) in caught.value.problems[0].summary


@given(st.text())
def test_no_text_at_all_breaks_the_reader(text: str) -> None:
    hosts = parse_known_hosts(text, "kh")
    assert hosts.lookup("h", 22).verdict(KEY) == "unknown"
