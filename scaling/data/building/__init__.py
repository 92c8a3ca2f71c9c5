"""Steps of a build: the tokens of a part, what was found on the way, and the parts joined."""
