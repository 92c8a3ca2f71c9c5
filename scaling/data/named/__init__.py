"""Named corpora: texts that packages bring with them, found without importing the packages."""
