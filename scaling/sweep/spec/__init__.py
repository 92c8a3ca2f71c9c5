"""The sweep file: its fields, and every violation of them by file, line and column."""
