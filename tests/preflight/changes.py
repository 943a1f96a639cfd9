"""What differs from a sound host, as keyword arguments of `sound_facts`."""

from __future__ import annotations

from dataclasses import replace

from installer.core.facts import (
    Account,
    Dns,
    EngineState,
    ImageFacts,
)
from tests.preflight.builders import (
    IMAGE,
    LABEL,
    NAMES,
    sound_dns,
    sound_engine,
    sound_facts,
    sound_network,
    sound_rehearsal,
)


def paths(**changed):
    sound = sound_facts().paths
    return {"paths": {**sound, **changed}}


def all_paths(**changes):
    return {"paths": {k: replace(p, **changes) for k, p in sound_facts().paths.items()}}


def engine(**changes):
    return {"engine": sound_engine(**changes)}


def network(**changes):
    return {"network": sound_network(**changes)}


def outside(*knocks, **changes):
    return {"rehearsal": sound_rehearsal(knocks=knocks, **changes)}


def dns(*, host=None, bastion=None, container=None):
    sound = sound_dns()
    return {
        "dns": Dns(
            bastion={**sound.bastion, **(bastion or {})},
            host={**sound.host, **(host or {})},
            container=sound.container if container is None else container,
        )
    }


def both(**names):
    return dns(host=names, bastion=names)


def image(state, platforms=(), detail=""):
    return {"images": {IMAGE: ImageFacts(state, platforms, detail)}}


CODER, GIT = NAMES
PARKING = ("203.0.113.80",)
CATCH_ALL = f"{LABEL}.company.com"
BELOW = f"{LABEL}.coder.company.com"
OPS = Account("ops", 1000, ("ops",), "absent")
MEMBER = Account("ops", 1000, ("ops", "docker"), "absent")
STOPPED = {"engine": sound_engine(state=EngineState.STOPPED, compose="2.40.3", version=None)}
ABSENT = {"engine": sound_engine(state=EngineState.ABSENT, compose=None, version=None)}
UNPRIVILEGED = {"privileged": False}
