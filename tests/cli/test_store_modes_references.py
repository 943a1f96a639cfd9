"""References `vault:path#field` of the answers at the command line, with `vault.mode: external`.

One login serves them and the store; what is wrong with one is told with the answer that has it.
"""

from __future__ import annotations

import subprocess
import uuid
from pathlib import Path

import pytest

from tests.cli.stores import REACHED, Lab, allow_all, tokens_of
from tests.contract.vault.store_lab import grant
from tests.golden.render import write_lock

pytestmark = pytest.mark.slow
CANARY = "Canary of a reference 123 !"


@pytest.fixture
def place(lab: Lab) -> str:
    """Where somebody else's secret lies; the operator may read it."""
    name = f"team-{uuid.uuid4().hex[:8]}/bastion"
    for path in (f"secret/data/{name}", f"old/{name}"):
        fields = {"sudo": CANARY, "user": 5}
        body = {"data": fields} if "data" in path else fields
        assert lab.server.ask("POST", path, body).status in (200, 204)
    lab.operator.secrets["reference"] = CANARY
    readable = grant(f"secret/data/{name}", "read") + grant(f"old/{name}", "read")
    lab.take_token(allow_all(lab.prefix) + readable)
    return name


@pytest.mark.parametrize("path", ["secret/{}", "secret/data/{}", "old/{}"])
def test_a_reference_is_read_with_the_login_of_the_store(lab: Lab, place: str, path: str) -> None:
    lab.operator.answers["ssh"]["become_password"] = f"vault:{path.format(place)}#sudo"
    said = lab.operator.run()
    assert said.code == REACHED, said.err
    lab.operator.check_untold(said)


@pytest.mark.parametrize(
    ("reference", "code", "words"),
    [
        ("vault:secret/nothing-there#sudo", "vault.permission", "secret/data/nothing-there"),
        ("vault:secret/{}#password", "vault.reference", "there is no text called password"),
        ("vault:secret/{}#user", "vault.reference", "there is no text called user"),
        ("vault:old/nothing-there#sudo", "vault.permission", "old/nothing-there"),
        ("vault:nowhere/x#sudo", "vault.permission", "nowhere/x"),
        ("aws:team/bastion#sudo", "secret.aws_unavailable", "vault.mode: aws-secrets-manager"),
    ],
)
def test_a_reference_that_leads_nowhere_stops_before_the_target(
    lab: Lab, place: str, reference: str, code: str, words: str
) -> None:
    lab.operator.answers["ssh"]["become_password"] = reference.format(place)
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, code)
    assert words in said.first
    if code == "vault.reference":
        assert "ssh.become_password: vault:secret/" in said.first


def test_what_lies_there_is_judged_like_any_other_value(lab: Lab, place: str) -> None:
    made = lab.server.ask("POST", f"secret/data/{place}", {"data": {"sudo": "two\nlines\x00"}})
    assert made.status == 200
    lab.operator.answers["ssh"]["become_password"] = f"vault:secret/{place}#sudo"
    said = lab.operator.run()
    lab.operator.check_refused(said, 3, "secret.control_char")
    assert "ssh.become_password" in said.first


@pytest.mark.parametrize("mode", ["embedded", "bundled"])
def test_a_reference_is_refused_where_the_mode_has_no_such_store(
    lab: Lab, place: str, mode: str
) -> None:
    lab.operator.answers["vault"] = {"mode": mode, "passphrase": "env:PASSPHRASE_OF_A_TEST"}
    lab.operator.keep("PASSPHRASE_OF_A_TEST", "correct horse battery staple 9!")
    waived = ("vault.plain_shares", "vault.possession_unproven")
    lab.operator.answers["waivers"] |= dict.fromkeys(waived, "a test")
    lab.operator.answers["ssh"]["become_password"] = f"vault:secret/{place}#sudo"
    said = lab.operator.run()
    lab.operator.check_refused(said, 12, "secret.vault_unavailable")
    assert "vault.mode: external" in said.first
    assert "env:NAME or file:/path" in said.remedy


def provided_files(lab: Lab, place: str) -> None:
    """A certificate that is good for nothing, and a key whose passphrase lies in the store."""
    folder = lab.operator.folder
    argv = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-subj", "/CN=other.example"]
    argv += ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"), "-days", "9"]
    subprocess.run([*argv, "-passout", f"pass:{CANARY}"], check=True, capture_output=True)
    (folder / "key.pem").chmod(0o600)
    lab.operator.answers["tls"] = {
        "mode": "files",
        "certificate_file": str(folder / "cert.pem"),
        "key_file": str(folder / "key.pem"),
        "key_passphrase": f"vault:secret/{place}#sudo",
    }


def test_a_certificate_whose_key_opens_with_the_store_is_judged_before_the_target(
    lab: Lab, place: str
) -> None:
    provided_files(lab, place)
    before = tokens_of(lab.server)
    said = lab.operator.run()
    assert said.status == 13, said.err
    assert said.code.startswith("tls.")
    assert "passphrase" not in said.err
    assert not lab.operator.target.was_contacted
    lab.operator.check_untold(said)
    assert tokens_of(lab.server) == before


def test_render_asks_no_store_for_the_passphrase_of_a_key(
    lab: Lab, place: str, tmp_path: Path
) -> None:
    provided_files(lab, place)
    lab.vault["addr"] = "https://127.0.0.1:1"
    said = lab.operator.run("render", "--output", str(tmp_path / "bundle"))
    assert said.status == 0, said.err


def test_the_policy_that_is_printed_lets_the_references_be_read(lab: Lab, place: str) -> None:
    """Printed, granted as it stands, and the run comes as far as the target."""
    lab.operator.answers["ssh"] |= {
        "become_password": f"vault:old/{place}#sudo",
        "passphrase": f"vault:secret/{place}#sudo",
    }
    write_lock(lab.operator.folder / "lock.yaml")
    said = lab.operator.run("answers", "show", "--vault-policy")
    assert said.status == 0, said.err
    assert f'path "secret/data/{place}"' in said.out
    assert f'path "old/{place}"' in said.out
    assert f'path "secret/{place}"' not in said.out
    lab.take_token(said.out)
    said = lab.operator.run()
    assert said.code == REACHED, said.err
