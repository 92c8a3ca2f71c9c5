"""The functions of the front door, one file a topic; the commands call the same ones."""
