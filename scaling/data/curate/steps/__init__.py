"""The steps of a curation, a file each: from what is measured of text to what is dropped."""
