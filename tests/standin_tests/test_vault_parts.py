"""The parts of the stand-in for Vault that stand alone: HCL, shares, policies, templates, OpenPGP.

What the whole of it does is in tests/contract/vault, where a real server shows the same.
"""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import vault_hcl
import vault_pgp
import vault_shamir
import vault_template
from standin import Refused
from vault_acl import Acl, parse_policy
from vault_hcl import Body, HclError, Item
from vault_shamir import ShareError, WrongKeyError
from vault_template import Missing
from vault_wire import Fault, go_duration, parse_seconds

SECRETS = {"kv/data/a": {"Data": {"data": {"value": 'a+b "c"<d>'}, "metadata": {"version": 3}}}}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a = 1\nb = 2.5 c = true", {"a": 1, "b": 2.5, "c": True}),
        ('a = "x\\n\\"y\\" \\u00e4"', {"a": 'x\n"y" ä'}),
        ('# one\n// two\n/* three\n */ a = ["x", "y",]', {"a": ["x", "y"]}),
        ('s "raft" {\n p = "/x"\n}', {"s": {"raft": {"p": "/x"}}}),
        ("l { t { u = false } }", {"l": {"t": {"u": False}}}),
        ("o = { x = 1, y = 2 }", {"o": {"x": 1, "y": 2}}),
        ("t = <<EOT\n  a\n b\nEOT\nu = 1", {"t": "  a\n b\n", "u": 1}),
        ("t = <<-EOT\n  a\n   b\n  EOT", {"t": "a\n b\n"}),
        (
            '{"path": {"a": {"capabilities": ["read"]}}}',
            {"path": {"a": {"capabilities": ["read"]}}},
        ),
        ("", {}),
    ],
)
def test_hcl_is_read(text, plain):
    assert vault_hcl.parse(text).plain() == plain


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            'p "x" { c = ["r" }',
            "At 1:18: error parsing list, expected comma or list end, got: RBRACE",
        ),
        ('p "x" { c = [r] }', "At 1:14: unexpected token while parsing list: IDENT"),
        ('p "x" {', "object expected closing RBRACE got: EOF"),
        ('p "x" {}}', "At 1:9: expected: IDENT | STRING | ASSIGN | LBRACE got: RBRACE"),
        ("p 'x' {}", "At 1:3: illegal char"),
        ('a = "x', "literal not terminated"),
        ("a = <<EOT\nx", "heredoc not terminated"),
        ("a =", "Unknown token"),
        ("word", "got: EOF"),
        ('{"a": ', "parse error"),
    ],
)
def test_what_is_no_hcl_is_refused_with_its_place(text, error):
    with pytest.raises(HclError) as caught:
        vault_hcl.parse(text)
    assert error in str(caught.value)


def test_labels_and_repeated_blocks_stay_apart():
    body = vault_hcl.parse('audit "file" "a" {}\naudit "file" "b" {}\nx = 1')
    assert [item.keys for item in body.all("audit")] == [
        ("audit", "file", "a"),
        ("audit", "file", "b"),
    ]
    assert body.unknown(["audit"]) == [Item(("x",), 1, 3, 1)]
    assert body.get("y", Body()) == Body()


@pytest.mark.parametrize(("shares", "threshold"), [(1, 1), (2, 2), (5, 3), (7, 7), (255, 2)])
def test_any_shares_up_to_the_threshold_give_the_key_and_fewer_do_not(shares, threshold):
    key = os.urandom(32)
    cut = vault_shamir.split(key, shares, threshold)
    assert len(cut) == len(set(cut)) == shares
    if threshold == 1:
        assert cut == [key]
        return
    for chosen in itertools.islice(itertools.permutations(cut, threshold), 60):
        assert vault_shamir.combine(chosen) == key
    assert vault_shamir.combine(cut) == key
    if threshold > 2:
        assert vault_shamir.combine(cut[: threshold - 1]) != key


def test_the_field_is_that_of_aes():
    # FIPS 197, section 4.2: {57} x {83} = {c1}
    assert vault_shamir.multiply(0x57, 0x83) == 0xC1
    for a, b in itertools.product(random.Random(1).sample(range(1, 256), 20), repeat=2):
        assert vault_shamir.divide(vault_shamir.multiply(a, b), b) == a


@pytest.mark.parametrize(
    ("shares", "error"),
    [
        ([b"x" * 33], "less than two parts"),
        ([b"x" * 33, b"y" * 32], "all parts must be the same length"),
        ([b"x" * 32 + b"\1", b"y" * 32 + b"\1"], "duplicate part"),
    ],
)
def test_shares_that_do_not_belong_together_are_refused(shares, error):
    with pytest.raises(ShareError, match=error):
        vault_shamir.combine(shares)


def test_a_box_opens_with_its_key_alone_and_only_whole():
    key, content = os.urandom(32), b"secret" * 100
    box = vault_shamir.close_box(key, content)
    assert vault_shamir.open_box(key, box) == content
    assert b"secret" not in box
    for wrong, other in ((os.urandom(32), box), (key, box[:-1] + b"x"), (key, box[:40])):
        with pytest.raises(WrongKeyError):
            vault_shamir.open_box(wrong, other)


PRIORITY = """
path "d/a*" { capabilities = ["read"] }
path "d/a/b" { capabilities = ["update"] }
path "d/a/b/*" { capabilities = ["deny"] }
path "d/x/+/y" { capabilities = ["read"] }
path "d/x/*" { capabilities = ["update"] }
path "d/+/x" { capabilities = ["list"] }
path "d/x/+/y*" { capabilities = ["sudo"] }
path "m" { capabilities = ["list"] }
"""


@pytest.mark.parametrize(
    ("path", "granted"),
    [
        ("d/a", "read"),
        ("d/abc", "read"),
        ("d/a/b", "update"),
        ("d/a/b/c", "deny"),
        ("d/x/1/y", "read"),
        ("d/x/1/yes", "update"),
        ("d/x/1/z", "update"),
        ("d/q/x", "list"),
        ("d/q", "deny"),
        ("m/", "deny"),
    ],
)
def test_the_most_specific_rule_decides(path, granted):
    assert Acl(parse_policy(PRIORITY)).capabilities(path) == [granted]


def test_a_listing_is_allowed_by_the_rule_without_its_slash():
    assert Acl(parse_policy(PRIORITY)).allows("list", "m/")
    assert not Acl(parse_policy(PRIORITY)).allows("read", "m")


@pytest.mark.parametrize(
    "text", ['path "a" { allowed_parameters = { x = [] } }', 'path "{{identity.entity.id}}" {}']
)
def test_what_the_stand_in_would_not_do_is_refused(text):
    with pytest.raises(Fault, match="the stand-in does not"):
        parse_policy(text)


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("plain $x } {", "plain $x } {"),
        ('{{ with secret "kv/data/a" }}{{ .Data.data.value }}{{ end }}', 'a+b "c"<d>'),
        ('{{with secret "kv/data/a"}}{{.Data.metadata.version}}{{end}}', "3"),
        ('{{ "{{" }}{{ `}}` }}', "{{}}"),
        ('{{ "a+b c" | urlquery | replaceAll "+" "%20" }}', "a%2Bb%20c"),
        ('{{ "x" | sha256Hex | printf "%.8s" }}', "2d711642"),
        ('{{ "x" | sha256Hex | sprig_trunc 8 }}', "2d711642"),
        ('{{ "<\\"&" | toUnescapedJSON | trimPrefix "\\"" | trimSuffix "\\"" }}', '<\\"&'),
        ('{{ "<a" | toJSON }}', '"\\u003ca"'),
        ('a {{- "b" -}} c{{/* note */}}', "abc"),
        ('{{ printf "%s-%d-%q%%" "a" 5 "b" }}', 'a-5-"b"%'),
        ("{{ .Data }}", "<no value>"),
    ],
)
def test_a_template_is_rendered(text, made):
    assert vault_template.Template(text).render(SECRETS.get) == made


def test_a_template_waits_for_what_is_missing():
    for text, strict in (
        ('{{ with secret "kv/data/b" }}x{{ end }}', False),
        ('{{ with secret "kv/data/a" }}{{ .Data.data.other }}{{ end }}', True),
        ('{{ with secret "kv/data/a" }}{{ .Data.data.other.deeper }}{{ end }}', False),
        ('{{ with secret "kv/data/a" }}{{ .Data.data }}{{ end }}', False),
    ):
        with pytest.raises(Missing):
            vault_template.Template(text, strict=strict).render(SECRETS.get)


@pytest.mark.parametrize(
    "text",
    [
        "{{ if true }}x{{ end }}",
        "{{ range . }}x{{ end }}",
        '{{ env "HOME" }}',
        '{{ key "x" }}',
        '{{ secret (printf "x") }}',
        '{{ $x := "y" }}',
        '{{ with secret "x" }}',
        "{{ end }}",
        "{{",
        "{{ }}",
        '{{ "a" "b" }}',
        '{{ printf urlquery "b" }}',
    ],
)
def test_a_template_beyond_the_stand_in_is_refused(text):
    with pytest.raises(Refused, match="template"):
        vault_template.Template(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), (90, 90), ("90s", 90), ("1h30m", 5400), ("2d", 172800), ("-5s", -5), ("", 0),
     ("1500ms", 1)],
)  # fmt: skip
def test_a_duration_is_read(text, seconds):
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["x", "5x", "bad", "1h x", True, [1]])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match=r"duration|ParseInt"):
        parse_seconds(text)


def test_a_duration_is_written_as_go_does():
    assert [go_duration(s) for s in (0, 59, 60, 3600, 10861)] == [
        "0s", "59s", "1m0s", "1h0m0s", "3h1m1s",
    ]  # fmt: skip


@pytest.fixture
def keys(tmp_path):
    """A home of gpg with a key to encrypt to, and one that only signs."""
    if not shutil.which("gpg"):
        pytest.skip("no program gpg here; the images have it")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)

    def gpg(*words: str, stdin: bytes = b"") -> bytes:
        argv = ["gpg", "--homedir", str(home), "--batch", "--passphrase", "", *words]
        return subprocess.run(argv, input=stdin, capture_output=True, check=True).stdout

    for name, usage in (("good", "default"), ("sign", "sign")):
        kind = "future-default" if usage == "default" else "rsa2048"
        gpg("--quick-gen-key", name, kind, usage, "0")
    yield gpg
    subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "all"], check=True)


def test_both_ways_of_encrypting_give_what_the_key_opens(keys):
    key = keys("--export", "good")
    for way in (vault_pgp._by_gpg, vault_pgp._by_sequoia):
        assert keys("--decrypt", stdin=way(key, b"share")) == b"share"
        assert way(keys("--export", "sign"), b"share") is None


def test_a_key_file_is_taken_in_every_form(keys, tmp_path: Path):
    key = keys("--export", "good")
    for content in (key, keys("--armor", "--export", "good"), vault_pgp.base64.b64encode(key)):
        assert vault_pgp.dearmor(content) == key
    tags = vault_pgp.read_tags(key)
    assert tags is not None
    assert tags[0] == 6
    assert vault_pgp.read_tags(key[:-1]) is None
    message = vault_pgp.encrypt(key, b"x")
    with pytest.raises(Fault, match="first packet was not a public"):
        vault_pgp.decode_key(vault_pgp.base64.b64encode(message).decode())
