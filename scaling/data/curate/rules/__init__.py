"""Rules on the statistics of documents, as Gopher, FineWeb and C4 published them."""
