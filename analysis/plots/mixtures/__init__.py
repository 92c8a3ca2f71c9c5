"""Figures of mixtures: where the best one lies, what each candidate loses on every domain, and by which laws."""
