"""From a crawl to training text: what is dropped, by which rule, and why."""
