"""Finding secrets where they must not be, and hiding them where text leaves the product.

`find_secrets` is the detector for files, logs and process lists; `Redactor` filters text on its way
out and is never the only defence. Neither prints, keeps or returns a value.
"""

from __future__ import annotations

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote, quote_plus

from installer.core.secrets import Secret

MARK = "‹secret›"
SHORTEST = 6
"""Characters below which a value is not looked for: it would be found in ordinary words."""
SHORTEST_PIECE = 8
"""The same for half a value, and for one put together across line ends."""
_SHORTEST_LINE = 16
_BASE64 = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_")
_BASE64_TAIL = re.compile(r"[A-Za-z0-9+/_-]?={0,2}")
_FOLD = re.compile(rb"\\?\s+\\?")
"""White space, and the backslashes that continue a line in YAML and shell."""
_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?P<kind>[A-Z0-9 ]{0,24}PRIVATE KEY)-----(?P<body>.*?)"
    r"(?:-----END (?P=kind)-----|\Z)",
    re.DOTALL,
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (_PRIVATE_KEY, MARK),
    # scheme://user:password@host, the password up to the last @ of the authority (RFC 3986, 3.2.1)
    (
        re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s/?#:@\"']{0,256}:)[^\s/?#\"']+(?=@)"),
        rf"\1{MARK}",
    ),
    # https://token@host
    (re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)[A-Za-z0-9_-]{20,}(?=@)"), rf"\1{MARK}"),
    # Vault: service, batch and recovery tokens, and service tokens from before 1.10
    (re.compile(r"\bhv[sbr]\.[A-Za-z0-9_-]{20,}"), MARK),
    (re.compile(r"(?<![\w.])s\.[A-Za-z0-9]{24}(?:\.[A-Za-z0-9]{1,10})?(?![\w-])"), MARK),
    # Authorization: Bearer …, Proxy-Authorization: Basic …, X-Vault-Token: …
    (
        re.compile(
            r"(?i)(\bauthorization[\"']?\s*[:=]\s*[\"']?(?:bearer|basic|token)\s+)[^\s\"',]+"
        ),
        rf"\1{MARK}",
    ),
    (re.compile(r"(?i)(\bx-vault-token[\"']?\s*[:=]\s*[\"']?)[^\s\"',]+"), rf"\1{MARK}"),
    # password=… in connection strings and queries
    (
        re.compile(r"(?i)(\b(?:password|passwd|pwd|passphrase|secret_?key)=)[^\s&;,\"')]+"),
        rf"\1{MARK}",
    ),
)


@dataclass(frozen=True, slots=True)
class SecretHit:
    """A secret found where it must not be; `offset` counts bytes. The value itself is not here."""

    name: str
    form: str
    offset: int


class Redactor:
    """Replaces known secrets, and what looks like one, by `MARK`.

    Values shorter than `SHORTEST` are left alone. Secrets may be added while it is in use.
    """

    __slots__ = ("_base64", "_plain")

    def __init__(self, secrets: Iterable[Secret] = ()) -> None:
        self._plain: frozenset[str] = frozenset()
        self._base64: frozenset[str] = frozenset()
        self.add(*secrets)

    def add(self, *secrets: Secret) -> None:
        """From now on, hide these too."""
        parts = [part for secret in secrets for part in _parts(secret.reveal())]
        self._plain |= {form for part in parts for _, form in _plain_forms(part)}
        self._base64 |= {form for part in parts for _, form in _base64_forms(part)}

    def redact(self, text: str) -> str:
        """The text without any known value in its usual encodings, and without token-like parts.

        Encodings: base64 and base64url at every alignment, hex, URL, JSON, HTML, shell, compose.
        """
        spans = [*_spans(text, self._plain), *_encoded_spans(text, self._base64)]
        if spans:
            text = _replace_spans(text, sorted(spans))
        for pattern, replacement in _PATTERNS:
            text = pattern.sub(replacement, text)
        return text


def find_secrets(data: bytes, secrets: Mapping[str, Secret]) -> tuple[SecretHit, ...]:
    """Where `data` holds a secret: one hit for each secret and form.

    Forms: the value, base64 at all alignments, base64url, hex, URL-encoded, JSON-escaped (and HTML,
    shell, compose), reversed, either half; each also when folded over lines, as YAML and MIME do.
    """
    squeezed = _FOLD.sub(b"", data)
    hits: list[SecretHit] = []
    for name, secret in sorted(secrets.items()):
        seen: set[str] = set()
        for label, form in _searched_forms(secret.reveal()):
            if label in seen:
                continue
            hit = _find(form.encode("utf-8", "surrogatepass"), data, squeezed)
            if hit is not None:
                seen.add(label)
                folded, offset = hit
                hits.append(SecretHit(name, f"{label}, folded" if folded else label, offset))
    return tuple(hits)


def _searched_forms(value: str) -> Iterator[tuple[str, str]]:
    for part in _parts(value):
        yield from _plain_forms(part)
        yield from _base64_forms(part)
        yield "reversed", part[::-1]
        middle = len(part) // 2
        if middle >= SHORTEST_PIECE:
            yield "first half", part[:middle]
            yield "second half", part[middle:]


def _parts(value: str) -> tuple[str, ...]:
    """What to look for: the value and, if it has several lines, each long one.

    Of a text with private keys only the keys: the certificates beside them are public.
    """
    bodies = [match["body"].strip() for match in _PRIVATE_KEY.finditer(value)]
    wholes = bodies or [value]
    lines = [line.strip() for whole in wholes for line in whole.splitlines()]
    long_lines = [line for line in lines if len(line) >= _SHORTEST_LINE]
    return tuple(part for part in dict.fromkeys([*wholes, *long_lines]) if len(part) >= SHORTEST)


def _plain_forms(value: str) -> Iterator[tuple[str, str]]:
    """Label and text of the encodings that keep characters apart, without repeats."""
    octets = value.encode("utf-8", "surrogatepass")
    json_ascii, json_text = json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]
    percent = [quote(octets, safe=safe) for safe in ("", "/", "!$&'()*+,;=:@/?-._~")]
    percent.append(quote_plus(octets))
    go_json = json_text.translate({ord(c): f"\\u{ord(c):04x}" for c in "<>&"})
    candidates = (
        ("value", value),
        ("hex", octets.hex()),
        ("hex", octets.hex().upper()),
        *(("URL-encoded", text) for text in percent),
        *(("URL-encoded", re.sub("%..", lambda m: m[0].lower(), text)) for text in percent),
        ("JSON-escaped", json_ascii),
        ("JSON-escaped", json_text),
        ("JSON-escaped", go_json),
        ("JSON-escaped", json_text.replace("/", "\\/")),
        ("JSON-escaped", json.dumps(json_ascii)[1:-1]),
        ("quoted", repr(value)[1:-1]),
        ("quoted", value.replace("'", "''")),
        ("quoted", shlex.quote(value).removeprefix("'").removesuffix("'")),
        ("quoted", value.replace("$", "$$")),
        ("HTML-escaped", html.escape(value)),
    )
    seen: set[str] = set()
    for label, form in candidates:
        if form not in seen:
            seen.add(form)
            yield label, form


def _base64_forms(value: str) -> Iterator[tuple[str, str]]:
    """What is the same in every base64 text that holds the value at one of the three alignments."""
    octets = value.encode("utf-8", "surrogatepass")
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + octets + bytes(2)).decode("ascii")
        start = -(-8 * before // 6)
        core = encoded[start : 8 * (before + len(octets)) // 6]
        yield "base64", core
        url_safe = core.translate({ord("+"): "-", ord("/"): "_"})
        if url_safe != core:
            yield "base64url", url_safe


def _spans(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    for form in forms:
        at = text.find(form)
        while at >= 0:
            yield at, at + len(form)
            at = text.find(form, at + 1)


def _encoded_spans(text: str, forms: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Of base64, also the character on either side, which holds some bits of the value."""
    for start, end in _spans(text, forms):
        tail = _BASE64_TAIL.match(text, end)
        yield start - (text[start - 1 : start] in _BASE64), tail.end() if tail else end


def _replace_spans(text: str, spans: list[tuple[int, int]]) -> str:
    """Overlapping spans count as one, so that no rest of a second secret stays behind."""
    pieces: list[str] = []
    done = 0
    merged: list[tuple[int, int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    for start, end in merged:
        pieces += [text[done:start], MARK]
        done = end
    return "".join([*pieces, text[done:]])


def _find(form: bytes, data: bytes, squeezed: bytes) -> tuple[bool, int] | None:
    """Whether the form is folded over lines, and its offset in `data`."""
    pressed = _FOLD.sub(b"", form)
    foldable = len(pressed) >= SHORTEST_PIECE
    if foldable and pressed == form and form not in squeezed:
        return None  # then it is not in `data` either: one search instead of two
    at = data.find(form)
    if at >= 0:
        return False, at
    at = squeezed.find(pressed) if foldable else -1
    return None if at < 0 else (True, _unsqueezed(data, at))


def _unsqueezed(data: bytes, at: int) -> int:
    """The offset in `data` of the byte that is at `at` in the squeezed data."""
    done = 0
    for match in _FOLD.finditer(data):
        if match.start() - done > at:
            break
        at -= match.start() - done
        done = match.end()
    return done + at
