"""Hypothesis strategies: valid random answers, and text that tries to be trouble."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from installer.core.answers_shape import Question, read_form
from installer.core.catalog import Catalog
from tests.answers import custodians

YAML_WORDS = (
    "yes", "no", "on", "off", "y", "n", "null", "~", "true", "false", "0123", "12:30", "1e3", "1e5",
    "0x10", "0o7", "1_000", ".inf", ".nan", "=", "<<", "2001-01-01", "1.0", "-0", "+1", "22",
)  # fmt: skip
"""Words that some reader of YAML takes for something else than text (BR-08)."""

_SYNTAX = st.text(
    alphabet="'\"$`{}[]()<>\\|&;:%#@!*?,=~^+-_./ \t\r\n\0\x1b\x7f\x85\u2028\u202e\ufeff"
)
_ANY = st.text(alphabet=st.characters())  # surrogates too
_LONG = st.builds(
    lambda text, times: text * times, st.text(min_size=1, max_size=8), st.integers(50, 900)
)
HOSTILE = (
    "${HOME}", "$(id)", "`id`", "{{ 7*7 }}", "{% raw %}", "{{ env \"VAULT_TOKEN\" }}", "; reboot",
    "../../etc", "-oProxyCommand=id", "Host(`evil.com`)", "\"\n    privileged: true", "\n---\n",
    "%s%n", "' OR 1=1 --", "<script>", "\N{ZERO WIDTH JOINER}", "𝒞𝑜𝓂", "ß", "İ", "１０．０．０．１",
)  # fmt: skip


def hostile_text(*near: str) -> st.SearchStrategy[str]:
    """Random text: any characters, syntax, long input, and valid values gone wrong."""
    valid = st.sampled_from((*near, *HOSTILE, *YAML_WORDS, ""))
    bent = st.builds(
        lambda text, at, more: text[: at % (len(text) + 1)] + more + text[at % (len(text) + 1) :],
        valid,
        st.integers(0, 80),
        st.one_of(_SYNTAX, st.sampled_from(HOSTILE), st.characters()),
    )
    return st.one_of(valid, bent, _SYNTAX, _ANY, _LONG)


def raw_values(*near: str) -> st.SearchStrategy[Any]:
    """Values as a file, a variable or a screen may give them."""
    text = hostile_text(*near)
    return st.one_of(
        text, text, text, st.integers(), st.floats(), st.booleans(), st.none(),
        st.lists(text, max_size=5),
    )  # fmt: skip


_label = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True).filter(
    lambda label: label[2:4] != "--"
)
_base = st.builds(
    lambda labels, top: ".".join((*labels, top)),
    st.lists(_label, min_size=1, max_size=3),
    st.sampled_from(("com", "org", "de", "io")),
).filter(lambda name: not name.endswith(("example.com", "example.org")))
_octet = st.integers(1, 254)
_address = st.builds(lambda a, b, c: f"10.{a}.{b}.{c}", _octet, _octet, _octet)
_variable = st.from_regex(r"[A-Z][A-Z0-9_]{0,20}", fullmatch=True)
_reference = st.one_of(
    _variable.map(lambda name: f"env:{name}"),
    st.sampled_from(("prompt", "file:/run/keys/a b", "vault:team/ops#password", "aws:prod/db#key")),
)
NO_MFA = {"mfa.not_required": "a test"}
"""Accepts what a drawn document may leave out."""
_user = st.from_regex(r"[a-z_][a-z0-9_-]{0,15}", fullmatch=True)
_word = st.one_of(
    st.sampled_from(YAML_WORDS),
    st.text(alphabet=st.characters(categories=("L", "N")), min_size=1, max_size=12),
)
_label_value = st.one_of(
    _word, st.text(alphabet="abc ABC 019 ._-:/@+,=()äöü日本", min_size=0, max_size=40)
).filter(lambda text: not set(text) & set("`$\"'\\{}|&<>;"))
_reason = st.text(
    alphabet=st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=60
).filter(lambda text: bool(text.strip()))
_path = st.lists(_label, min_size=1, max_size=3).map(lambda parts: "/srv/" + "/".join(parts))
_size = st.builds(lambda n, unit: f"{n}{unit}", st.integers(16, 900), st.sampled_from("MG"))
_image = st.builds(
    lambda name, tag, digest: f"ghcr.io/{name}:{tag}@sha256:{digest}",
    _label.map(lambda name: name.replace("--", "-")).filter(lambda name: "--" not in name),
    st.from_regex(r"v?[0-9]{1,3}\.[0-9]", fullmatch=True),
    st.text(alphabet="0123456789abcdef", min_size=64, max_size=64),
)
_url = _base.map(lambda name: f"https://{name}")
_passphrase = st.one_of(st.none(), _reference)

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "deployment.name": st.one_of(
        st.from_regex(r"[a-z0-9][a-z0-9_-]{0,20}", fullmatch=True),
        st.sampled_from(("0123", "1e5", "12", "null", "yes", "true", "1e3")),
    ),
    "tls.profile": st.sampled_from(("intermediate", "modern")),
    "ssh.host": st.one_of(_address, _base, st.just("2001:db8::5")),
    "ssh.port": st.integers(1, 65535),
    "ssh.user": _user,
    "ssh.key_file": st.sampled_from(("~/.ssh/id_ed25519", "keys/my key (prod).pem", "/k/ü")),
    "ssh.passphrase": _passphrase,
    "ssh.agent": st.booleans(),
    "ssh.become": st.sampled_from(("auto", "sudo", "none")),
    "ssh.become_password": _passphrase,
    "ssh.jump": st.lists(
        st.builds(lambda u, h: f"{u}@{h}:2222", _user, _address), max_size=3, unique=True
    ).filter(lambda hops: len({hop.split("@")[1] for hop in hops}) == len(hops)),
    "target.install_dir": _path.map(lambda path: path.replace("/srv/", "/opt/i-")),
    "target.data_dir": _path.map(lambda path: path.replace("/srv/", "/srv/d-")),
    "target.address": st.one_of(_address, st.just("all")),
    "network.pool": st.sampled_from(("172.30.0.0/16", "10.99.0.0/20", "192.168.0.0/16")),
    "network.trusted_cidr": st.lists(
        st.sampled_from(("10.0.0.0/24", "192.0.2.7/32", "2001:db8::/48")), max_size=3
    ),
    "network.http_proxy": st.sampled_from(("http://proxy.company.com:3128",)),
    "network.no_proxy": st.lists(st.sampled_from((".company.com", "10.0.0.0/8", "*")), max_size=3),
    "admin.username": _user,
    "admin.password": st.one_of(st.just("generate"), _reference),
    "mfa.required": st.booleans(),
    "mfa.methods": st.sampled_from((["totp"], ["webauthn", "static"], ["totp", "webauthn"])),
    "sizing.profile": st.sampled_from(("small", "custom")),
    "sizing.users": st.integers(25, 50),
    "sizing.concurrent_workspaces": st.integers(1, 25),
    "registry.mirror": _url,
    "registry.username": _user,
    "registry.password": _passphrase,
    "backup.bucket": st.sampled_from(("company-backups", "a.b", "123")),
    "backup.schedule": st.sampled_from(("0 3 * * *", "*/5 1-3 1,15 jan-jun mon")),
    "backup.retention_days": st.integers(1, 3650),
    "monitoring.enabled": st.booleans(),
    "labels": st.dictionaries(
        st.from_regex(r"com\.company\.[a-z][a-z0-9]{0,8}", fullmatch=True), _label_value, max_size=3
    ),
    "timezone": st.sampled_from(("UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires")),
    "waivers": st.dictionaries(
        st.sampled_from(("domain.not_public", "size.beyond_compose")), _reason, max_size=2
    ),
}
"""Answer path to values that are accepted as they stand."""

_MODES: tuple[dict[str, Any], ...] = (
    {},
    {"tls": {"mode": "private-ca", "profile": "modern"}},
    {"tls": {"mode": "files", "certificate_file": "c.pem", "key_file": "k e y.pem"}},
    {
        "tls": {
            "mode": "acme",
            "acme": {
                "email": "ops@company.com",
                "dns_provider": "route53",
                "credentials": {"AWS_ACCESS_KEY_ID": "env:AWS_ID", "AWS_SECRET": "prompt"},
            },
        }
    },
    {"vault": {"mode": "embedded", "key_shares": 7, "key_threshold": 4}},
    {"vault": {"mode": "bundled", "custodians": custodians.FIVE}},
    {
        "vault": {
            "mode": "bundled",
            "custodians": {"anna": custodians.ED25519, "ben": "~/keys/ben.asc"},
            "key_shares": 2,
            "key_threshold": 2,
            "unseal_shares": ["file:/run/keys/a b", "env:SHARE_2"],
            "mount": "team/kv",
            "prefix": "platform/prod",
        }
    },
    {"vault": {"mode": "external", "addr": "https://v.company.com:8200", "token": "env:TOKEN"}},
    {
        "vault": {
            "mode": "external",
            "addr": "https://v.company.com:8200",
            "ca_file": "certs/ca.pem",
            "namespace": "org/team",
            "auth_mount": "team/approle",
            "role_id": "db02de05-fa39-4855-059b-67221c5c2f63",
            "secret_id": "prompt",
        }
    },
    {"vault": {"mode": "aws-secrets-manager", "region": "eu-central-1", "profile": "dev ops"}},
    {
        "database": {
            "mode": "external",
            "url": "postgres://coder@db.company.com/coder?sslmode=verify-full",
            "ca_file": "/etc/ssl/database-ca.pem",
            "password": "env:PASSWORD",
        }
    },
)


@st.composite
def answers_documents(draw: st.DrawFn, catalog: Catalog) -> dict[str, Any]:
    """A valid answers document, as nested plain values; every value in its stored form."""
    base = draw(_base)
    document: dict[str, Any] = {
        "version": 1, "domain": {"base": base}, "vault": {"mode": "embedded"},
    }  # fmt: skip
    document |= {k: dict(v) for mode in draw(st.lists(st.sampled_from(_MODES), max_size=3))
                 for k, v in mode.items()}  # fmt: skip
    questions = {
        path: question
        for path, question in read_form(catalog).questions.items()
        if not question.when and not path.endswith(".mode")
    }
    _put(document, "ssh.host", draw(VALUES["ssh.host"]))
    _put(document, "admin.email", f"{draw(_user)}@{base}")
    for path in draw(st.lists(st.sampled_from(sorted(questions)), max_size=25, unique=True)):
        values = _values_of(questions[path], base)
        if values is not None:
            _put(document, path, draw(values))
    document["waivers"] = {**NO_MFA, **document.get("waivers", {})}
    if document["vault"]["mode"] == "bundled":
        document["waivers"] = {**custodians.UNPROVEN, **document.get("waivers", {})}
    return document


def _values_of(question: Question, base: str) -> st.SearchStrategy[Any] | None:
    path = question.dotted
    if path in VALUES:
        return VALUES[path]
    if path.startswith("domain.hosts."):
        key = question.path[-1]
        return st.integers(0, 99).map(lambda n: f"{key.replace('_', '-')}-{n}.{base}")
    if path.endswith("_memory"):
        return _size
    if path.endswith("_cpus"):
        return st.sampled_from((0.5, 1.0, 2.25, 16.0))
    if path.startswith("images.") and path != "images.lock_file":
        return _image
    kinds = {"switch": st.booleans(), "text": _reason} if len(question.path) == 2 else {}
    asked = path.split(".")[0] not in {"backup", "images", "domain", "network", "ssh", "admin"}
    if question.rule.choices and question.rule.takes == "text":
        return st.sampled_from(question.rule.choices) if asked else None
    return kinds.get(question.rule.takes) if asked else None


def _put(document: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for segment in parents:
        document = document.setdefault(segment, {})
    document[last] = value
