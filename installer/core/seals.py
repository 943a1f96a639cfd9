"""Seals of the three forms of an evidence pack, and what is wrong with a form that was altered.

JSON carries its hashes and its signature among its keys. The readable forms end in one line, a
comment, with the hash over all bytes before it. Signing and comparing signatures are handed in.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from installer.core.evidence_pack import KIND, Document, format_pack, hash_parts

Sign = Callable[[bytes], str]
"""Makes a signature, in base64."""
IsSigned = Callable[[str, bytes, str], bool]
"""Whether a signature is that of a public key (one line, as OpenSSH writes it) over a message."""


class Form(StrEnum):
    """A form of a pack; the value is the ending of its file's name."""

    JSON = "json"
    MARKDOWN = "md"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class Signer:
    """A key of the operator: its public part, its fingerprint, and how it signs."""

    public: str
    fingerprint: str
    sign: Sign


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a look at one file gave.

    Attributes:
        altered: What is not as it was written; empty when nothing is.
        evidence: The hash over all evidence that the file names.
        signed_by: The public key of a good signature; empty when there is none.
    """

    name: str
    altered: tuple[str, ...] = ()
    evidence: str = ""
    signed_by: str = ""


_SEAL = re.compile(
    r"<!-- devplat-install evidence 1 form=(md|html) sha256=([0-9a-f]{64}) evidence=([0-9a-f]{64})"
    r' key="([A-Za-z0-9+/= -]*)" signature="([A-Za-z0-9+/=]*)" -->\n'
)


def seal_json(document: Document, signer: Signer | None) -> str:
    """The JSON form."""
    if signer is None:
        return format_pack({**document, "signature": None})
    evidence = document["evidence"]
    value = signer.sign(_message(Form.JSON, evidence, evidence))
    signature = {"algorithm": "ed25519", "key": signer.public, "value": value}
    return format_pack({**document, "signature": signature})


def seal_text(form: Form, body: str, document: Document, signer: Signer | None) -> str:
    """A readable form with its seal; the body ends in a line end."""
    evidence = document["evidence"]
    digest = hashlib.sha256(body.encode()).hexdigest()
    public = signer.public if signer else ""
    value = signer.sign(_message(form, digest, evidence)) if signer else ""
    return f"{body}{_seal(form, digest, evidence, public, value)}"


def check_form(name: str, data: bytes, is_signed: IsSigned) -> Verdict:
    """What is wrong with a file of a pack; its form is the ending of its name.

    Raises:
        ValueError: the name has none of the three endings.
    """
    form = Form(name.rpartition(".")[2].lower())
    verdict = Verdict(name)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        return replace(verdict, altered=(f"byte {error.start} is none of UTF-8",))
    if form is Form.JSON:
        return _check_json(verdict, text, is_signed)
    return _check_text(verdict, form, text, is_signed)


def _check_json(verdict: Verdict, text: str, is_signed: IsSigned) -> Verdict:
    try:
        document = json.loads(text)
    except ValueError as error:
        return replace(verdict, altered=(f"it is not JSON any more: {error}",))
    if not isinstance(document, dict) or "parts" not in document or "signature" not in document:
        return replace(verdict, altered=("it is no evidence pack",))
    altered = list(_differing_parts(document))
    if format_pack(document) != text:
        altered.append("its layout, or a key that is there twice")
    signature, evidence = document["signature"], str(document.get("evidence"))
    public = ""
    if signature is not None:
        public = _signed_by(signature, _message(Form.JSON, evidence, evidence), is_signed)
        altered += [] if public else ["its signature"]
    elif document.get("key"):
        altered.append("its signature, which was taken away")
    return replace(
        verdict,
        altered=tuple(altered),
        evidence=evidence,
        signed_by="" if altered else public,
    )


def _signed_by(signature: object, message: bytes, is_signed: IsSigned) -> str:
    """The public key of a good signature; empty when it is not good."""
    if not isinstance(signature, Mapping) or set(signature) != {"algorithm", "key", "value"}:
        return ""
    public, value = str(signature["key"]), str(signature["value"])
    good = signature["algorithm"] == "ed25519" and is_signed(public, message, value)
    return public if good else ""


def _differing_parts(document: Mapping[str, Any]) -> list[str]:
    wanted, parts = hash_parts(document), document["parts"]
    if not isinstance(parts, Mapping):
        return ["parts"]
    names = [name for name in {**wanted["parts"], **parts} if _differs(wanted, parts, name)]
    if document.get("kind") != KIND:
        names.append("kind")
    if document.get("evidence") != wanted["evidence"]:
        names.append("the hash over all evidence")
    return list(dict.fromkeys(names))


def _differs(wanted: Mapping[str, Any], parts: Mapping[str, Any], name: str) -> bool:
    return bool(wanted["parts"].get(name) != parts.get(name))


def _check_text(verdict: Verdict, form: Form, text: str, is_signed: IsSigned) -> Verdict:
    start = text.rstrip("\n").rfind("\n") + 1
    body, line = text[:start], text[start:]
    found = _SEAL.fullmatch(line)
    if found is None or found[1] != form:
        return replace(verdict, altered=("the seal in its last line",))
    _, digest, evidence, public, value = found.groups()
    altered = []
    if hashlib.sha256(body.encode()).hexdigest() != digest:
        altered.append("the text, or its hash in the last line")
    elif evidence not in body:
        altered.append("the hash over all evidence in the last line")
    if bool(public) != bool(value):
        altered.append("its signature, which was taken away")
    elif public and not is_signed(public, _message(form, digest, evidence), value):
        altered.append("its signature")
    signed_by = "" if altered else public
    return replace(verdict, altered=tuple(altered), evidence=evidence, signed_by=signed_by)


def _seal(form: Form, digest: str, evidence: str, public: str, value: str) -> str:
    return (
        f"<!-- devplat-install evidence 1 form={form} sha256={digest} evidence={evidence}"
        f' key="{public}" signature="{value}" -->\n'
    )


def _message(form: Form, digest: str, evidence: str) -> bytes:
    return f"{KIND} {form}\n{digest}\n{evidence}\n".encode()
