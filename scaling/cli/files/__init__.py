"""Commands on data and on folders of models."""
