"""No code of either package executes what it reads."""

import ast
from pathlib import Path

ROOT = Path(__file__).parents[2]
UNSAFE = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "yaml"}
UNSAFE_ATTRIBUTES = {("os", "system"), ("os", "popen"), ("pd", "read_pickle"), ("pd", "eval"), ("torch", "load")}


def test_nothing_here_executes_what_it_reads() -> None:
    """By the syntax of both packages: no pickle, no eval, no shell, no YAML but ruamel's safe reader."""
    found = []
    for file in [*(ROOT / "scaling").rglob("*.py"), *(ROOT / "analysis").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    unsafe = any(name.name.split(".")[0] in UNSAFE_MODULES for name in names)
                case ast.ImportFrom(module=str() as module):
                    unsafe = module.split(".")[0] in UNSAFE_MODULES
                case ast.Call(func=ast.Name(id=name)) if name in UNSAFE:
                    unsafe = True
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr=attribute)):
                    unsafe = (name, attribute) in UNSAFE_ATTRIBUTES
                case ast.keyword(arg="allow_pickle" | "shell", value=value):
                    unsafe = not (isinstance(value, ast.Constant) and value.value is False)
                case ast.Call(func=ast.Name(id="YAML"), keywords=keywords):
                    kinds = [given.value.value for given in keywords if isinstance(given.value, ast.Constant)]
                    unsafe = "safe" not in kinds
                case ast.Call(func=ast.Attribute(attr="query" | "load_pickle")):
                    unsafe = True
                case _:
                    unsafe = False
            if unsafe:
                found.append(f"{file.relative_to(ROOT)}:{node.lineno}")
    assert found == []
