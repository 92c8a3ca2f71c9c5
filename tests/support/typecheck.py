"""The type checker of the tests: beartype, with an int allowed for a float, as mypy has it (PEP 484)."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
