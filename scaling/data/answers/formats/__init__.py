"""Rows of text, the messages in them, and the Jinja that writes messages as one text."""
