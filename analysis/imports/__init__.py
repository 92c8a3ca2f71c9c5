"""The logs of other tools, read as they are and brought into one table of runs.

A reader, one file a tool, turns a source into the runs that it logs: names, states, settings and series of metrics, all
in the tool's own words. What recognises parameters, tokens and loss among them is common to all. No source is written
to.
"""
