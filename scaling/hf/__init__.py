"""Hugging Face's folders: a trained run as one, and any Llama's read."""
