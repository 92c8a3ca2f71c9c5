"""The model: what a Llama is."""
