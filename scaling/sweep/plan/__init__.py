"""The plan: which runs a sweep file asks for, and what they would take."""
