"""Text from trained models, one prompt at a time or as examples to fine-tune on."""
