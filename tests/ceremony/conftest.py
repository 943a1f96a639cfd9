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
    """A fresh server and a target for it: `rehearse(custodians={…})` changes the vault answers."""
    if os.geteuid() != 0:
        pytest.skip("the phases act as root; this test needs root")

    def make(**vault) -> Rehearsal:
        server = launch_vault()
        folder = tmp_path_factory.mktemp("rehearsal")
        made = Rehearsal(folder, server.address, server.ca_file, server.program.argv)
        made.save({**ANSWERS, "vault": {**ANSWERS["vault"], **vault}})
        made.server = server
        return made

    return make
