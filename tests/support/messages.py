"""The messages of warnings."""

from analysis.diagnostics.codes import Code, Diagnostic


def said(warnings: tuple[Diagnostic, ...] | list[Diagnostic], code: Code) -> str:
    """The message of the only warning with this code."""
    (message,) = [warning.message for warning in warnings if warning.code == code]
    return message
