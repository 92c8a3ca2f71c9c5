"""Numbers as people write them: ``3e18``, ``15T``, ``8B``, ``1_000``, ``40%``; of both packages."""

from analysis.formatting import format_duration, format_quantity, parse_quantity

__all__ = ["format_duration", "format_quantity", "parse_quantity"]
