"""Files of documents: what a file is by its content, and a reader for each format."""
