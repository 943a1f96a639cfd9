import os
from collections.abc import Callable

import pytest

from tests.ceremony.rehearsal import ANSWERS, Rehearsal
from tests.contract.vault.conftest import (  # noqa: F401 - fixtures
    launch_vault,
    vault_authority,
    vault_program,
)


@pytest.fixture
def rehearse(launch_vault, tmp_path_factory) -> Callable[..., Rehearsal]:  # noqa: F811
    """A fresh server and a target for it: `rehearse(custodians={…})` changes the vault answers.

    `server` are options of the server itself, `waivers` are added to the answers.
    """
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")

    def make(server=None, waivers=(), **vault) -> Rehearsal:
        server = launch_vault(**(server or {}))
        folder = tmp_path_factory.mktemp("rehearsal")
        made = Rehearsal(folder, server.address, server.ca_file, server.program.argv)
        accepted = {**ANSWERS["waivers"], **dict.fromkeys(waivers, "a rehearsal")}
        vault = {**ANSWERS["vault"], **vault}
        made.save({**ANSWERS, "vault": vault, "waivers": accepted})
        made.server = server
        return made

    return make
