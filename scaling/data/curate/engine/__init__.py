"""What runs the steps of a curation: parts, tasks and their cached results, and the counts of what was dropped."""
