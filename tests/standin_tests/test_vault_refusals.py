"""The stand-in for Vault and OpenBao refuses settings that the real programs refuse, and those that
would do nothing.
"""

from __future__ import annotations

import socket

import pytest
import vault
import vault_agent_config
from standin import Refused
from vault_audit import Broker, Device
from vault_config import read_config
from vault_core import Core
from vault_http import serve
from vault_wire import Call, Fault

from tests.contract.vault.authority import make_authority

GOOD = {
    "top": 'api_addr = "https://vault:8200"\ncluster_addr = "https://127.0.0.1:8201"',
    "storage": 'storage "raft" {\n path = "PLACE"\n node_id = "n"\n}',
    "listener": 'listener "tcp" {\n address = "127.0.0.1:0"\n tls_cert_file = "CERT"\n'
    ' tls_key_file = "KEY"\n}',
    "more": "",
}


@pytest.fixture
def write(tmp_path):
    """Writes a configuration: the good one with parts changed."""
    authority = make_authority(tmp_path)
    (tmp_path / "data").mkdir()
    words = {"PLACE": tmp_path / "data", "CERT": authority.certificate, "KEY": authority.key}

    def write(**parts):
        text = "\n".join({**GOOD, **parts}.values())
        for word, path in words.items():
            text = text.replace(word, str(path))
        (tmp_path / "server.hcl").write_text(text)
        return str(tmp_path / "server.hcl")

    return write


@pytest.mark.parametrize("flavour", ["openbao", "vault"])
def test_a_good_configuration_is_taken(write, flavour):
    lock = "disable_mlock = true\n" if flavour == "vault" else ""
    audit = 'audit "file" "a" {\n options {\n file_path = "stdout"\n }\n}'
    more = lock + (audit if flavour == "openbao" else "") + '\ndefault_lease_ttl = "1h"'
    config = read_config(write(more=more), flavour)
    assert config.default_ttl == 3600
    assert list(config.audit) == (["a/"] if flavour == "openbao" else [])
    assert config.api_audit == (flavour == "vault")
    assert Core(config).status()["initialized"] is False


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"more": "wibble = 1"}, "unknown or unsupported field wibble"),
        ({"more": 'wibble "x" {}'}, "unknown or unsupported field wibble"),
        ({"more": "disable_mlock = true"}, "unknown or unsupported field disable_mlock"),
        ({"more": 'telemetry {\n wibble = "1"\n}'}, "unknown or unsupported field wibble"),
        ({"more": 'audit "file" {\n}'}, "audit type and path must be specified"),
        ({"more": 'default_lease_ttl = "x"'}, "invalid duration"),
        ({"more": 'default_lease_ttl = "2h"\nmax_lease_ttl = "1h"'}, "greater than max_lease_ttl"),
        ({"more": 'log_format = "nope"'}, "unknown log format: nope"),
        ({"more": 'ui = "yes"'}, 'parsing "yes"'),
        ({"more": "foo {"}, "object expected closing RBRACE"),
        ({"more": 'seal "awskms" {\n}'}, 'configuring seal "awskms"'),
        ({"storage": ""}, "a storage backend must be specified"),
        ({"storage": 'storage "file" {\n path = "PLACE"\n}'}, "unknown storage type file"),
        ({"storage": 'storage "raft" {\n}'}, "'path' must be set"),
        ({"storage": 'storage "raft" {\n path = "PLACE"\n wibble = 1\n}'}, "field wibble"),
        ({"storage": GOOD["storage"] * 2}, 'only one "storage" block'),
        ({"top": 'api_addr = "https://vault:8200"'}, "cluster address must be set"),
        ({"top": 'cluster_addr = "https://127.0.0.1:8201"'}, "missing API address"),
        ({"top": GOOD["top"].replace("https://vault", "http://vault")}, "must be an https address"),
        ({"listener": ""}, "must be configured"),
        ({"listener": 'listener "tcp" {\n tls_key_file = "KEY"\n}'}, "'tls_cert_file' must be set"),
        ({"listener": GOOD["listener"].replace("}", " tls_disable = true\n}")}, "tls_disable"),
        ({"listener": GOOD["listener"].replace("}", ' tls_min_version = "tls9"\n}')}, "tls9"),
        ({"listener": GOOD["listener"].replace("}", ' wibble = "x"\n}')}, "field wibble"),
        ({"listener": GOOD["listener"].replace(":0", "")}, "want host:port"),
    ],
)
def test_a_bad_configuration_is_refused(write, parts, reason):
    with pytest.raises(Refused) as caught:
        read_config(write(**parts), "openbao")
    assert reason in str(caught.value)


def test_vault_takes_no_audit_devices_from_its_configuration(write):
    with pytest.raises(Refused, match="unknown or unsupported field audit"):
        read_config(write(more='audit "file" "a" {\n}'), "vault")


def test_a_folder_of_files_is_one_configuration(write, tmp_path):
    folder = tmp_path / "config"
    folder.mkdir()
    text = (tmp_path / write().rpartition("/")[2]).read_text()
    (folder / "a.hcl").write_text(text)
    (folder / "b.hcl").write_text('log_format = "json"')
    assert read_config(str(folder), "openbao").log_format == "json"
    with pytest.raises(Refused, match="no such file or directory"):
        read_config(str(tmp_path / "nowhere"), "openbao")


def test_storage_that_is_not_there_or_damaged_is_refused(write, tmp_path):
    missing = write(storage='storage "raft" {\n path = "PLACE/none"\n}')
    with pytest.raises(Refused, match="no such file or directory"):
        Core(read_config(missing, "openbao"))
    (tmp_path / "data" / "vault.db").write_text("nonsense")
    with pytest.raises(Refused, match="failed to open bolt file"):
        Core(read_config(write(), "openbao"))


@pytest.mark.parametrize("name", ["CERT", "KEY"])
def test_a_certificate_that_cannot_be_used_is_refused(write, tmp_path, name):
    (tmp_path / "bad").write_text("no PEM")
    for path in (tmp_path / "bad", tmp_path / "none"):
        listener = GOOD["listener"].replace(name, str(path))
        with pytest.raises(Refused, match="error loading TLS cert"):
            serve(read_config(write(listener=listener), "openbao").listener, lambda _: None)


def test_an_address_that_is_taken_is_refused(write):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = GOOD["listener"].replace(":0", f":{taken.getsockname()[1]}")
        with pytest.raises(Refused, match="address already in use"):
            serve(read_config(write(listener=listener), "openbao").listener, lambda _: None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({}, "file_path is required"),
        ({"file_path": "/proc/nowhere/x"}, "sanity check failed; unable to open"),
        ({"file_path": "/tmp"}, "is a directory"),
        ({"file_path": "stdout", "mode": "x"}, "ParseUint"),
        ({"file_path": "stdout", "log_raw": "x"}, "ParseBool"),
        ({"file_path": "stdout", "wibble": "x"}, "does not know the option"),
    ],
)
def test_an_audit_device_that_cannot_be_is_refused(options, reason):
    with pytest.raises(Fault) as caught:
        Device("a/", options, b"salt")
    assert reason in caught.value.messages[0]


def test_one_device_that_writes_is_enough_and_none_is_not(tmp_path):
    broker = Broker()
    assert broker.request(Call("read", "x"))
    for name in ("one", "two"):
        path = tmp_path / name / "log"
        broker.devices[name] = Device(name, {"file_path": str(path)}, b"salt")
    assert broker.request(Call("read", "x"))
    for name, written in (("one", True), ("two", False)):
        (tmp_path / name).rename(tmp_path / f"{name}-gone")
        (tmp_path / name).write_text("no folder")
        broker.reopen()
        assert broker.request(Call("read", "x")) is written
    broker.close()


AGENT = """
vault {
  address = "https://vault:8200"
}
auto_auth {
  method "approle" {
    config = {
      role_id_file_path = "/x/role_id"
      secret_id_file_path = "/x/secret_id"
    }
  }
}
template {
  destination = "/x/file"
  contents = "text"
}
"""


@pytest.fixture
def agent(tmp_path, monkeypatch):
    """Reads an agent's configuration."""
    for name in ("BAO_ADDR", "VAULT_ADDR", "BAO_CACERT", "VAULT_CACERT"):
        monkeypatch.delenv(name, raising=False)

    def read(text):
        (tmp_path / "agent.hcl").write_text(text)
        return vault_agent_config.read_agent_config(str(tmp_path / "agent.hcl"))

    return read


def test_a_good_agent_is_taken_and_the_environment_goes_first(agent, monkeypatch):
    config = agent(AGENT)
    assert (config.address, config.retries, config.method.removes) == (
        "https://vault:8200",
        12,
        True,
    )
    assert (config.templates[0].perms, config.interval) == (0o644, 300)
    monkeypatch.setenv("VAULT_ADDR", "https://elsewhere:8200/")
    assert agent(AGENT).address == "https://elsewhere:8200"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("vault {", "wibble = 1\nvault {", "unknown or unsupported field wibble"),
        ("vault {", "cache {\n}\nvault {", "unknown or unsupported field cache"),
        ("  address", '  wibble = "1"\n  address', "unknown or unsupported field wibble"),
        ('"approle"', '"token_file"', "type approle"),
        ("role_id_file_path", "role_file", "unknown or unsupported field role_file"),
        ('      role_id_file_path = "/x/role_id"\n', "", "missing 'role_id_file_path'"),
        ("    config", '    min_backoff = "6m"\n    config', "min_backoff cannot be greater"),
        ("  address", '  ca_cert = "/nowhere"\n  address', "Error loading CA File"),
        ('  destination = "/x/file"\n', "", "missing 'destination'"),
        ('  contents = "text"\n', "", "exactly one of"),
        ('contents = "text"', 'source = "/nowhere"', "open /nowhere"),
        ('contents = "text"', 'contents = "{{ env \\"X\\" }}"', 'function "env" not defined'),
        ("  contents", '  command = "x"\n  contents', "unknown or unsupported field command"),
        ("template {", "sink {", "unknown or unsupported field sink"),
    ],
)
def test_a_bad_agent_is_refused(agent, old, new, reason):
    assert old in AGENT
    with pytest.raises(Refused) as caught:
        agent(AGENT.replace(old, new, 1))
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["version"], 0, "OpenBao v2.6.2 (a stand-in"),
        (["server"], 1, "Must specify at least one config path"),
        (["server", "-dev"], 1, "flag provided but not defined: -dev"),
        (["agent"], 1, "config path"),
        (["operator", "init", "extra"], 1, "Too many arguments"),
        (["operator", "init", "-key-shares=x"], 1, "invalid value"),
        (["operator", "init", "-pgp-keys=/nowhere"], 1, "open /nowhere"),
        (["operator", "unseal"], 1, "not a terminal"),
        (["operator", "wibble"], 1, "Usage: bao"),
        (["wibble"], 127, "Usage: bao"),
    ],
)
def test_the_command_line_refuses_what_it_cannot_do(capfd, words, status, said):
    assert vault.bao_main(["bao", *words]) == status
    out, error = capfd.readouterr()
    assert said in out + error


def test_the_file_of_vault_is_not_started_without_its_capability(tmp_path, capfd, monkeypatch):
    (tmp_path / "status").write_text("CapInh:\t0\nCapBnd:\t0000000000004000\n")
    assert vault.has_capability(14, str(tmp_path / "status"))
    assert not vault.has_capability(13, str(tmp_path / "status"))
    monkeypatch.setattr(vault, "has_capability", lambda _: False)
    assert vault.main(["vault", "version"]) == 126
    assert "operation not permitted" in capfd.readouterr().err
