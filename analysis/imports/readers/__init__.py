"""Readers of other tools' logs, one file a tool: each turns files into a ``Log`` and writes nothing."""
