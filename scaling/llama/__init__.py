"""The model: a Llama's shape, forward pass, loss, counts and sharding."""
