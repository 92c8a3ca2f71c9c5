"""What is measured of text, many documents at once: pure functions, which know no files."""
