"""Custody against a real server: its answer is sealed to us, and opens it (SE-17, SE-18)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from installer.adapters.custody import LocalCustody
from installer.adapters.filestore import create_store
from installer.core.errors import SecretStoreError
from installer.core.secrets import Secret
from tests.contract.vault.authority import make_authority
from tests.contract.vault.servers import VARIABLE, VaultServer, real_program, wait_until
from tests.secrets.custody_keys import Person, make_keyring, now


def test_a_real_server_seals_its_answer_to_the_transport_key(tmp_path: Path) -> None:
    """From the initialisation to a custodian's share that opens the server after a restart."""
    program = real_program()
    if program is None:
        pytest.skip(f"{VARIABLE} names no real server")
    keys = make_keyring(tmp_path)
    store = create_store(tmp_path / "run" / "secrets.store", Secret("correct horse battery"))
    custody = LocalCustody(
        store, tmp_path / "run" / "custody", keys.custodians, ask=None, references=tuple, now=now
    )
    (tmp_path / "server").mkdir()
    server = VaultServer(program, tmp_path / "server", make_authority(tmp_path)).start()
    try:
        key = tmp_path / "transport"
        key.write_text(custody.transport_key())
        said = server.run(
            "operator", "init", "-format=json", "-key-shares=3", "-key-threshold=2",
            f"-pgp-keys={key},{key},{key}", f"-root-token-pgp-key={key}",
        )  # fmt: skip
        assert said.status == 0, said.err
        answer = json.loads(said.out)
        handed = custody.hand_over([custody.open(text) for text in answer["unseal_keys_b64"]])
        server.token = custody.open(answer["root_token"]).reveal()
        typed = [
            keys.openers[share.custodian](Path(share.place).read_bytes()).decode()
            for share in handed
        ]
        person = Person(typed[2], typed[0])
        asking = LocalCustody(
            store, tmp_path / "run" / "custody", {}, ask=person, references=tuple, now=now
        )
        for share in asking.shares(2):
            given = server.ask("PUT", "sys/unseal", {"key": share.reveal()}, token="")
            assert given.status == 200, given
        assert given.body["sealed"] is False
        wait_until(
            lambda: server.ask("GET", "sys/health", token="").status == 200,
            lambda: f"not active after unsealing: {server.log[-2000:]}",
        )
        assert server.ask("GET", "auth/token/lookup-self").data["policies"] == ["root"]
        # as a custodian hands it in elsewhere: the text of the file, in the server's own form
        server.restart()
        for text in typed[:2]:
            given = server.ask("PUT", "sys/unseal", {"key": text.strip()}, token="")
        assert given.body["sealed"] is False
        custody.forget_transport()
        with pytest.raises(SecretStoreError):
            custody.open(answer["root_token"])
    finally:
        server.stop()
