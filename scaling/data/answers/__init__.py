"""Prompts and answers: examples to fine-tune on, pairs to compare, and rows padded right."""
