"""Docstrings found by a regular expression are those that Python finds, and nothing else goes with them."""

import ast
import sysconfig
import warnings
from pathlib import Path

import pytest
from rounds import rounds

from scaling.data.named.packages import TESTS, files_below, standard_library
from scaling.data.named.python_source import docstrings, without_docstrings

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

SOURCE = '''\
#!/usr/bin/env python
# A comment stays.
"""The module."""

import os


class A(Base, metaclass=lambda x: {"a": ")"}):
    r"""A class \\d.

        Indented.
    """

    x = """no docstring"""
    """after an assignment"""

    def only(self, a="):", b: "str" = ('#', "'")) -> dict[str, int]:  # a comment: "of a line"
        # And one of its own.
        \'\'\'Alone "quoted" \\
        in two lines.\'\'\'

    async def more(self):
        "Short" ' and joined'; return 1

    def f(self): "On one line"

    def g(self): "On one line"; return """x"""

    def h(self):
        f"""no docstring"""

    def i(self):
        b"""no docstring"""

    def j(self):
        """%s""" % "no docstring"

    def k(
        self,
        *args,  # "
    ):
        """Last."""  # noqa
        def inner(): """Inner."""
        return inner


text = """
def fake():
    \\"""no docstring\\"""
"""
if text:
    def l():

        """Below an empty line."""
else:
    class B: pass
'''
DOCSTRINGS = [
    "The module.",
    "A class \\d.\n\nIndented.",
    'Alone "quoted"         in two lines.',
    "Short and joined",
    "On one line",
    "On one line",
    "Last.",
    "Inner.",
    "Below an empty line.",
]


def taken(tree: ast.Module) -> list[str]:
    """Takes the docstrings out of a tree; returns them in order."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body.pop(0)
            assert isinstance(first, ast.Expr)
            assert isinstance(first.value, ast.Constant)
            found.append((first.lineno, first.col_offset, str(first.value.value)))
            if not node.body and not isinstance(node, ast.Module):
                node.body.append(ast.Pass())
    return [text for *_, text in sorted(found)]


def parsed(source: bytes) -> ast.Module | None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source.decode())
        except (SyntaxError, ValueError):
            return None


def words(text: str) -> list[str]:
    return text.encode(errors="replace").decode().split()


def test_every_kind_of_docstring() -> None:
    assert docstrings(SOURCE.encode()).decode() == "\n\n".join(DOCSTRINGS)
    kept = without_docstrings(SOURCE.encode()).decode()
    assert kept.startswith("#!/usr/bin/env python\n# A comment stays.\n\nimport os\n")
    for text in ("no docstring", "after an assignment", 'a comment: "of', "# And one of", "# noqa", "def fake():"):
        assert kept.count(text) == SOURCE.count(text)
    assert "    async def more(self):\n        return 1\n" in kept
    assert "    def f(self): pass\n" in kept
    assert '    def g(self): return """x"""\n' in kept


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_what_is_left_is_the_same_program(newline: str) -> None:
    source = SOURCE.replace("\\\n        in", "in").replace("\n", newline).encode()
    tree = ast.parse(source)
    taken(tree)
    kept = without_docstrings(source)
    assert ast.dump(ast.parse(kept)) == ast.dump(tree)
    assert without_docstrings(kept) == kept
    new = {line for line in kept.splitlines() if line not in source.splitlines() and b"pass" not in line}
    assert new == {b"        return 1", b'    def g(self): return """x"""', b"        # noqa"}


@pytest.mark.parametrize(
    ("source", "kept", "docs"),
    [
        ("", "", ""),
        ('"""Only."""', "", "Only."),
        ('"""Only."""\n', "", "Only."),
        ("\ufeff'''Marked.'''\nx = 1\n", "x = 1\n", "Marked."),
        ("x = 1\n'''no'''\n", "x = 1\n'''no'''\n", ""),
        ('def f():\n\t"""Tab."""\n\treturn 1', "def f():\n\treturn 1", "Tab."),
        ('def f():\n    """One."""\n\n\n# end\nx = 1\n', "def f():\n    pass\n\n\n# end\nx = 1\n", "One."),
        ('def f[T: (int, str)](x: T) -> T:\n    """New."""\n    return x\n', None, "New."),
        ('class A:\n    """\n    Lines\n      more\n\n    """\n    x = 1\n', "class A:\n    x = 1\n", "Lines\n  more"),
        ('this is no Python \'at all\n"""', 'this is no Python \'at all\n"""', ""),
        ('def f():\n    """bad \\N{nothing}"""\n    return 1\n', "def f():\n    return 1\n", ""),
        ('def f():\n    """half \\ud800"""\n    return 1\n', "def f():\n    return 1\n", "half ?"),
        ("definitely = 1\nclassy = 2\n", "definitely = 1\nclassy = 2\n", ""),
    ],
)
def test_edges(source: str, kept: str | None, docs: str) -> None:
    assert docstrings(source.encode()).decode() == docs
    if kept is not None:
        assert without_docstrings(source.encode()).decode() == kept


def agree(file: Path) -> bool:
    """Whether the docstrings of a file, and what is left, are what Python says; True where it is not Python."""
    source = file.read_bytes()
    tree = parsed(source)
    if tree is None:
        return True
    texts = taken(tree)
    left = parsed(without_docstrings(source))
    same = left is not None and ast.dump(left) == ast.dump(tree)
    return same and words(docstrings(source).decode()) == [word for text in texts for word in words(text)]


def test_python_agrees_on_a_part_of_the_standard_library() -> None:
    files = [file for _, file in sorted(standard_library(TESTS))[::25]]
    assert len(files) > 20
    assert [file for file in files if not agree(file)] == []


@pytest.mark.slow
@pytest.mark.soak
def test_python_agrees_on_what_the_domains_are_made_of() -> None:
    """On a quarter of the files, and on all of them in ``make soak``."""
    folder = Path(sysconfig.get_paths()["purelib"])
    files = [file for _, file in standard_library(())]
    for name in ("jax", "matplotlib", "numpy", "pandas", "scipy"):
        files += [file for _, file in files_below(folder / name, "", ()) if file.suffix == ".py"]
    assert len(files) > 3000
    assert [file for file in sorted(files)[:: rounds(4, 1)] if not agree(file)] == []
