"""A command in this process, where the process itself is not what is tested: no second import of JAX."""

import subprocess
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from scaling.cli import main


def scaling(*args: object) -> "subprocess.CompletedProcess[str]":
    """``scaling`` with arguments: its exit status and what it wrote."""
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err, pytest.raises(SystemExit) as end:
        main([*map(str, args)])
    code = end.value.code
    assert code is None or isinstance(code, int)
    return subprocess.CompletedProcess(args, code or 0, out.getvalue(), err.getvalue())
