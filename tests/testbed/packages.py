"""Debian packages without touching the machine's own package state: closures and downloads go
through a private apt. The mirror is the one that this machine's apt settings name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.testbed.commands import TestbedError, run

SUITE = "trixie"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


def find_mirror() -> str:
    """The Debian archive of this machine's apt settings, or `DEVPLAT_TESTBED_MIRROR`.

    Raises:
        TestbedError: when neither names one.
    """
    named = os.environ.get("DEVPLAT_TESTBED_MIRROR")
    if named:
        return named.rstrip("/")
    targets = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", "Created-By: Packages"]
    )
    for line in targets.splitlines():
        uri, _, component = line.partition(" ")
        if component == "main" and uri.rstrip("/").endswith("/debian"):
            return uri.rstrip("/")
    raise TestbedError(
        "this machine's apt sources name no Debian archive (an address that ends in /debian);"
        " set DEVPLAT_TESTBED_MIRROR to one"
    )


def proxy_options() -> dict[str, str]:
    """The proxies of this machine's apt settings, by option name."""
    dump = run(["apt-config", "dump", "--format", "%f=%v%n"])
    found = (re.fullmatch(r"(Acquire::\w+::Proxy)=(.+)", line) for line in dump.splitlines())
    return {match[1]: match[2] for match in found if match}


@dataclass(frozen=True)
class Apt:
    """A private apt below `work` for one suite of one mirror."""

    work: Path
    mirror: str
    suite: str = SUITE

    def update(self) -> None:
        """Read the package lists."""
        for name in ("state/lists/partial", "cache/archives/partial", "none/partial"):
            (self.work / name).mkdir(parents=True, exist_ok=True)
        (self.work / "sources.list").write_text(
            f"deb [signed-by={KEYRING} check-valid-until=no] {self.mirror} {self.suite} main\n"
        )
        self._apt("update", "-qq")

    def closure(self, packages: Iterable[str]) -> tuple[str, ...]:
        """File names of the packages and of all they depend on."""
        out = self._apt(
            "install", "--print-uris", "-qq", "-y", *packages,
            options=[f"Dir::Cache::archives={self.work}/none"],  # cached files would be left out
        )  # fmt: skip
        return tuple(sorted(re.findall(r"^'\S+' (\S+) \d+ \S+$", out, re.M)))

    def download(self, packages: Iterable[str]) -> None:
        """Fetch the closure of all packages together; apt checks hashes and signatures."""
        self._apt("install", "-qq", "-y", "--download-only", *packages)

    def path(self, file_name: str) -> Path:
        """A downloaded package file."""
        return self.work / "cache" / "archives" / file_name

    def _apt(self, *arguments: str, options: Iterable[str] = ()) -> str:
        settings = [
            f"Dir::State={self.work}/state",
            "Dir::State::status=/dev/null",
            f"Dir::Cache={self.work}/cache",
            f"Dir::Etc::SourceList={self.work}/sources.list",
            "Dir::Etc::SourceParts=/dev/null",
            "Dir::Etc::PreferencesParts=/dev/null",
            "Dir::Etc::Preferences=/dev/null",
            "Acquire::Languages=none",
            "APT::Install-Recommends=0",
            "APT::Sandbox::User=root",
            *options,
        ]
        argv = ["apt-get"]
        for setting in settings:
            argv += ["-o", setting]
        return run([*argv, *arguments], env={"DEBIAN_FRONTEND": "noninteractive"})
