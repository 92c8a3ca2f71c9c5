"""The plan: the runs that a sweep file requests, and their FLOPs, time, memory and cost."""
