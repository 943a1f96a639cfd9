"""SE-10: no core dump of the installer, and nobody but root attaches to it."""

import os
import subprocess
import sys

import pytest

NOBODY = 65534
SHOW = (
    "import ctypes, resource;"
    "print(resource.getrlimit(resource.RLIMIT_CORE), ctypes.CDLL(None).prctl(3, 0, 0, 0, 0))"
)
"""Prints the limits of core dumps and the flag PR_GET_DUMPABLE."""
PEEK = """
import ctypes, os
from installer.seclusion import seclude
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # changing the user has closed it, as no exec does
{act}
if (child := os.fork()) == 0:
    for name in ("mem", "environ"):
        try:
            os.close(os.open(f"/proc/{{os.getppid()}}/{{name}}", os.O_RDONLY))
            print(name, "open", flush=True)
        except PermissionError:
            print(name, "refused", flush=True)
    os._exit(0)
os.waitpid(child, 0)
"""
"""Becomes an ordinary user; another process of that user then tries to read this one."""


def run_python(program):
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_the_console_script_has_core_size_zero_and_is_not_dumpable():
    program = (
        "import installer.cli, installer.__main__ as door\n"
        f"def main():\n    {SHOW}\n    return 0\n"
        "installer.cli.main = main\n"
        "door.run()"
    )
    assert run_python(program) == ["(0, 0) 0"]


def test_a_process_that_is_not_secluded_is_seen_to_be_open():
    """The seeded defect for the test above."""
    assert run_python(f"import installer.cli\n{SHOW}")[0].endswith(" 1")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody who is not")
@pytest.mark.parametrize(("act", "answer"), [("seclude()", "refused"), ("", "open")])
def test_the_same_user_cannot_read_its_memory_or_environment(act, answer):
    program = PEEK.format(nobody=NOBODY, act=act)
    assert run_python(program) == [f"mem {answer}", f"environ {answer}"]
