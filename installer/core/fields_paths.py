"""Checks of paths: on the target, and of files on this machine.

A path on the target is judged by its text alone. A file of this machine is judged by `FileFacts`,
which the caller reads; nothing here opens a file.
"""

from __future__ import annotations

import posixpath
import re

from installer.core.fields import (
    FieldError,
    FileFacts,
    Verdict,
    check_text,
    first_invisible,
    reject,
    visible,
)

_PLAIN = re.compile(r"[A-Za-z0-9._+@/-]+", re.ASCII)
_LONGEST = 200
"""Leaves room below PATH_MAX, and below the 108 bytes of a socket's path for relative use."""
_WHOLE_TREES = """
/bin /boot /dev /etc /lib /lib32 /lib64 /libx32 /lost+found /proc /run /sbin /snap /sys /tmp
/usr/bin /usr/include /usr/lib /usr/lib32 /usr/lib64 /usr/libexec /usr/sbin /usr/share /usr/src
/var/cache /var/lib/apt /var/lib/containerd /var/lib/containers /var/lib/docker /var/lib/dpkg
/var/lib/rpm /var/lib/systemd /var/lock /var/log /var/mail /var/run /var/spool /var/tmp
"""
"""Virtual, volatile, or the system's or the engine's own: nothing of ours may lie below."""
_SHARED_TOPS = "/ /data /home /media /mnt /opt /root /srv /usr /usr/local /var /var/lib"


def check_target_dir(raw: object) -> Verdict:
    """An absolute directory on the target, of our own, whose name needs no quoting anywhere."""
    text = str(raw)
    _refuse_path_text(text)
    if ".." in text.split("/"):
        raise reject(
            "path.traversal",
            f"{visible(text)} has '..' in it and leads to {visible(posixpath.normpath(text))}",
            "write the path without '..'",
        )
    path = posixpath.normpath(text)
    path = "/" + path.lstrip("/")
    _refuse_places(path)
    return Verdict(path)


def _refuse_path_text(text: str) -> None:
    if bad := first_invisible(text):
        raise _bad_char(text, bad)
    if " " in text:
        raise reject(
            "path.blank",
            f"{visible(text)} has a blank in it; too many tools break on it",
            "write the path without blanks",
        )
    if not text.startswith("/"):
        raise reject(
            "path.relative",
            f"{visible(text)} is not an absolute path on the target",
            "write a path that begins with /, as /opt/devplat",
        )
    if not _PLAIN.fullmatch(text):
        bad_char = next(char for char in text if not _PLAIN.fullmatch(char))
        raise _bad_char(text, bad_char)
    if any(part.startswith("-") for part in text.split("/")):
        raise reject(
            "path.bad_char",
            f"{visible(text)} has a name that begins with '-', which commands read as an option",
            "begin names with a letter or digit",
        )
    if len(text) > _LONGEST:
        raise reject(
            "path.too_long",
            f"{visible(text)} has {len(text)} characters; at most {_LONGEST} are possible",
            "choose a shorter path",
        )


def _bad_char(text: str, bad: str) -> FieldError:
    return reject(
        "path.bad_char",
        f"{visible(text)} holds '{bad}', which shells, compose or the engine would read as syntax",
        "use letters, digits and . _ + @ - between slashes",
    )


def _refuse_places(path: str) -> None:
    system = any(is_within(path, tree) for tree in _WHOLE_TREES.split())
    if system or path in _SHARED_TOPS.split():
        raise reject(
            "path.forbidden",
            f"{visible(path)} belongs to the system or the engine, or is shared",
            "choose a directory of its own, as /opt/devplat or /srv/devplat",
        )


def is_within(path: str, tree: str) -> bool:
    """Whether a normalised path is `tree` or lies below it."""
    return path == tree or path.startswith(tree.rstrip("/") + "/")


_check_line = check_text(1024)


def check_local_path(raw: object) -> Verdict:
    """A path on this machine; `~` is expanded where it is opened."""
    text = str(raw)
    if not text.strip():
        raise reject("path.empty", "the path is empty", "write the path of a file, or leave it out")
    if bad := first_invisible(text):
        raise reject(
            "path.bad_char",
            f"{visible(text)} holds the control character {bad}",
            "write the path of a file",
        )
    return _check_line(text)


def check_private_key_path(raw: object) -> Verdict:
    """A path of a private SSH key; the public half is recognised by its name."""
    verdict = check_local_path(raw)
    if verdict.value.lower().endswith(".pub"):
        raise _public_key(verdict.value)
    return verdict


def probe_file(path: str, facts: FileFacts | None) -> None:
    """Refuse a file of this machine that is not there, or no file."""
    if facts is None:
        raise reject(
            "path.missing",
            f"there is no file {visible(path)}",
            "correct the path; it is relative to the directory the installer was started in",
        )
    if not facts.is_file:
        raise reject("path.not_file", f"{visible(path)} is no regular file", "name a file")


_PUBLIC_HEADS = (
    "ssh-",
    "ecdsa-sha2-",
    "sk-ssh-",
    "sk-ecdsa-",
    "-----BEGIN PUBLIC KEY",
    "---- BEGIN SSH2",
)


def probe_private_key(path: str, facts: FileFacts | None) -> None:
    """Refuse what is no private key in a form that is understood."""
    probe_file(path, facts)
    head = facts.head.lstrip() if facts else ""
    if head.startswith(_PUBLIC_HEADS):
        raise _public_key(path)
    if head.startswith("PuTTY-User-Key-File"):
        raise reject(
            "ssh.key.format",
            f"{visible(path)} is a key in PuTTY's format",
            "convert it: puttygen KEY.ppk -O private-openssh -o KEY",
        )


def _public_key(path: str) -> FieldError:
    return reject(
        "ssh.key.public",
        f"{visible(path)} is a public key; the private one is needed",
        "name the private key: the file without .pub",
    )
