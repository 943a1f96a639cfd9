"""The evidence pack: three forms with one content, sealed, and one changed byte of any is found."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from installer.adapters.signing import fingerprint, is_signed, load_public, load_signer
from installer.core.checklist import attest, waive
from installer.core.checklist.statements import append
from installer.core.errors import LocalIoError, Problem, Remedy, UsageError
from installer.core.events import CheckResult, Outcome
from installer.core.evidence_pack import Document, build_pack, hash_parts
from installer.core.report import Report
from installer.core.seals import Form, Signer, check_form, seal_json, seal_text
from installer.core.secrets import Secret
from installer.output.pack_forms import TEMPLATE, format_html, format_markdown
from tests.checklist.sound import NOW, failed, measure_of, named, report_of, stand, with_results
from tests.checklist.stating import scene_of
from tests.policy.builders import ROOT

HOSTILE = '<script>alert("x")</script> | <img src=http://evil.example/x onerror=1> `$(x)` [a](b)'
PAGE = (ROOT / "assets" / TEMPLATE).read_text()


def evil_report() -> Report:
    problem = Problem("x.y", HOSTILE, Remedy(HOSTILE, (HOSTILE,)), where=HOSTILE, detail=HOSTILE)
    hostile = CheckResult(
        "smoke.redis.redis-key", HOSTILE, Outcome.FAIL, HOSTILE, HOSTILE, HOSTILE, problem
    )
    waived = replace(named("PF-CPU", Outcome.WAIVED), found=HOSTILE)
    unmet = replace(named("guide.1.2.traefik.1", Outcome.UNMET), title=HOSTILE, problem=problem)
    report = report_of(with_results(hostile, waived, unmet, failed("HD-05", "gitea")))
    facts = {**report.facts, "operator": HOSTILE}
    return replace(report, facts=facts, problems=(problem,), notes=(HOSTILE,))


def pack_of(report: Report, key: str = "") -> Document:
    scene = scene_of(report)
    until = (NOW + timedelta(days=30)).date().isoformat()
    chain = append((), attest(scene, "CK-18", by=HOSTILE[:90], note=HOSTILE))
    chain = append(chain, waive(scene, "CK-07", by="Grace", reason=HOSTILE, until=until))
    standing = stand(report, chain=chain)
    older = report_of((), run="older", ended=NOW - timedelta(days=2))
    return build_pack(report, [older], measure_of(report), standing, chain, key=key)


PACK = pack_of(evil_report())
SMALL = report_of([failed("smoke.redis.redis-key")])


def forms_of(pack: Document, signer: Signer | None) -> dict[Form, str]:
    return {
        Form.JSON: seal_json(pack, signer),
        Form.MARKDOWN: seal_text(Form.MARKDOWN, format_markdown(pack), pack, signer),
        Form.HTML: seal_text(Form.HTML, format_html(pack, PAGE), pack, signer),
    }


@pytest.fixture(scope="module")
def key() -> ed25519.Ed25519PrivateKey:
    return ed25519.Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def signer(key: ed25519.Ed25519PrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Signer:
    path = tmp_path_factory.mktemp("key") / "evidence_key"
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    path.chmod(0o600)
    return load_signer(path, None)


class Reader(HTMLParser):
    """Reads a page strictly: every tag is closed in its order, nothing leads elsewhere."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.links: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.links += [v or "" for k, v in attrs if k in ("href", "src", "action", "srcset")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read_page(pack: Document) -> Reader:
    reader = Reader()
    reader.feed(format_html(pack, PAGE))
    reader.close()
    return reader


def test_the_page_is_well_formed_and_needs_nothing_from_elsewhere() -> None:
    reader = read_page(PACK)
    assert reader.open == []
    assert all(link.startswith("#area-") for link in reader.links)
    assert not reader.seen & {"script", "img", "link", "iframe", "object", "form", "svg", "base"}
    page = format_html(PACK, PAGE)
    assert "url(" not in page
    assert "@import" not in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_hostile_text_is_shown_and_not_obeyed() -> None:
    page = format_html(PACK, PAGE)
    assert "<script" not in page
    assert "<img" not in page
    assert HOSTILE in "".join(read_page(PACK).text)
    markdown = format_markdown(PACK)
    assert "<script" not in markdown
    assert "<img" not in markdown
    head = next(n for n, line in enumerate(markdown.splitlines()) if line.startswith("| kind |"))
    rows = markdown.splitlines()[head : head + 4]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {15}


def test_the_parser_would_find_markup_that_was_not_escaped() -> None:
    reader = Reader()
    reader.feed('<p><img src="http://evil.example/x">')
    assert reader.open == ["p"]
    assert reader.links == ["http://evil.example/x"]


def texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for each in value.values():
            yield from texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts(each)
    elif isinstance(value, str) and value:
        yield value


def flat(text: str) -> str:
    return " ".join(text.split())


UNTOLD = {"areas", "steps"}
"""Parts whose codes and step ids the readable forms do not repeat; their titles are compared."""


@pytest.mark.parametrize("part", [part for part in PACK["parts"] if part not in UNTOLD])
def test_the_readable_forms_say_what_the_json_form_says_cr_04(part: str) -> None:
    page = flat(" ".join(read_page(PACK).text))
    markdown = flat(format_markdown(PACK))
    for text in texts(PACK[part]):
        if text in ("devplat-install evidence", "attest", "ok", "verify_failed"):
            continue
        for line in text.splitlines():
            assert flat(line) in page
            escaped = html.escape(flat(line), quote=False)
            escaped = escaped.replace("|", "\\|").replace("`", "\\`").replace("[", "\\[")
            assert escaped in markdown


def test_every_check_is_in_every_form_with_what_was_found_cr_04() -> None:
    page, markdown = flat(" ".join(read_page(PACK).text)), flat(format_markdown(PACK))
    for area in PACK["areas"]:
        for check in area["checks"]:
            assert f"{check['id']} {flat(check['title'])}" in page
            assert f"| {check['outcome']} | {check['id']} |" in markdown
            assert flat(check["found"]) in page


def test_waivers_are_red_with_their_last_day_and_bypasses_say_that_they_have_none() -> None:
    page = format_html(PACK, PAGE)
    assert '<p class="until bad"><b>CK-07' in page
    assert "until 2026-12-24" in page
    assert "Bypassed in the answers, without an end" in page
    assert [bypass["check"] for bypass in PACK["bypasses"]] == ["PF-CPU"]
    assert {d["check"] for d in PACK["deviations"]} >= {"HD-01"}


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_a_form_that_nobody_touched_is_intact_and_says_who_signed_it(
    form: Form, signed: bool, signer: Signer
) -> None:
    used = signer if signed else None
    pack = pack_of(evil_report(), signer.fingerprint if signed else "")
    verdict = check_form(f"evidence.{form}", forms_of(pack, used)[form].encode(), is_signed)
    assert verdict.altered == ()
    assert verdict.evidence == pack["evidence"]
    assert verdict.signed_by == (signer.public if signed else "")


@pytest.mark.parametrize("form", list(Form))
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "unsigned"])
def test_one_changed_byte_anywhere_is_found_cr_04(form: Form, signed: bool, signer: Signer) -> None:
    pack = pack_of(SMALL, signer.fingerprint if signed else "")
    data = forms_of(pack, signer if signed else None)[form].encode()
    tail = range(len(data) - 280, len(data), 7 if form is Form.JSON else 1)
    for index in {*range(0, len(data), len(data) // 20), *tail}:
        for changed in (bytes([data[index] ^ 1]), b"", b" " + data[index : index + 1]):
            altered = data[:index] + changed + data[index + 1 :]
            assert check_form(f"e.{form}", altered, is_signed).altered, (index, changed)


def test_the_part_that_was_changed_is_named_cr_04(signer: Signer) -> None:
    document = json.loads(seal_json(pack_of(SMALL, signer.fingerprint), signer))
    for part in document["parts"]:
        spoilt = json.loads(json.dumps(document))
        spoilt[part] = "changed"
        text = json.dumps(spoilt, indent=1, ensure_ascii=False) + "\n"
        assert part in check_form("e.json", text.encode(), is_signed).altered


def test_who_makes_the_hashes_anew_is_found_by_the_signature_alone(signer: Signer) -> None:
    pack = pack_of(SMALL, signer.fingerprint)
    document = json.loads(seal_json(pack, signer))
    document["facts"]["operator"] = "somebody else"
    document |= hash_parts(document)
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    assert check_form("e.json", text.encode(), is_signed).altered == ("its signature",)
    document["signature"] = None
    text = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    assert "taken away" in check_form("e.json", text.encode(), is_signed).altered[0]


def test_a_seal_of_one_form_does_not_fit_another(signer: Signer) -> None:
    pack = pack_of(SMALL, signer.fingerprint)
    page = forms_of(pack, signer)[Form.HTML]
    assert check_form("e.md", page.encode(), is_signed).altered
    with pytest.raises(ValueError, match="pdf"):
        check_form("e.pdf", b"", is_signed)


@pytest.mark.parametrize(
    "data", [b"", b"{}\n", b"[]\n", b"{}", b"\xff", b'{"parts": [], "signature": 1}']
)
def test_what_is_no_pack_at_all_is_altered_not_a_crash(data: bytes) -> None:
    for form in Form:
        assert check_form(f"e.{form}", data, is_signed).altered


@pytest.mark.parametrize(
    ("encoding", "format_"),
    [(Encoding.PEM, PrivateFormat.OpenSSH), (Encoding.PEM, PrivateFormat.PKCS8)],
    ids=["openssh", "pkcs8"],
)
@pytest.mark.parametrize("secret", [None, "correct horse"], ids=["plain", "encrypted"])
def test_keys_of_both_forms_sign_and_a_passphrase_opens_them(
    key: ed25519.Ed25519PrivateKey,
    tmp_path: Path,
    encoding: Encoding,
    format_: PrivateFormat,
    secret: str | None,
) -> None:
    path = tmp_path / "key"
    protect = BestAvailableEncryption(secret.encode()) if secret else NoEncryption()
    path.write_bytes(key.private_bytes(encoding, format_, protect))
    path.chmod(0o600)
    signer = load_signer(path, Secret(secret) if secret else None)
    assert is_signed(signer.public, b"message", signer.sign(b"message"))
    assert not is_signed(signer.public, b"messagf", signer.sign(b"message"))
    assert signer.fingerprint.startswith("SHA256:")
    if secret:
        for wrong in (None, Secret("battery staple")):
            with pytest.raises(UsageError) as caught:
                load_signer(path, wrong)
            assert "correct horse" not in str(caught.value)


def test_a_key_that_others_may_read_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    other = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    path.chmod(0o600)
    with pytest.raises(LocalIoError, match="no private Ed25519"):
        load_signer(path, None)
    path.chmod(0o640)
    with pytest.raises(LocalIoError, match="others may read it"):
        load_signer(path, None)
    for name in ("missing", "."):
        with pytest.raises(LocalIoError, match="cannot read"):
            load_signer(tmp_path / name, None)


@pytest.mark.parametrize("form", [Encoding.OpenSSH, Encoding.PEM])
def test_public_keys_of_both_forms_are_read(
    key: ed25519.Ed25519PrivateKey, tmp_path: Path, form: Encoding
) -> None:
    kind = PublicFormat.OpenSSH if form is Encoding.OpenSSH else PublicFormat.SubjectPublicKeyInfo
    path = tmp_path / "key.pub"
    path.write_bytes(
        key.public_key().public_bytes(form, kind) + b" ada@bastion\n"
        if form is Encoding.OpenSSH
        else key.public_key().public_bytes(form, kind)
    )
    assert load_public(path).startswith("ssh-ed25519 ")
    assert fingerprint(load_public(path)).startswith("SHA256:")
    path.write_text("no key")
    with pytest.raises(LocalIoError, match="no public Ed25519"):
        load_public(path)
