"""Commands on models and devices."""
