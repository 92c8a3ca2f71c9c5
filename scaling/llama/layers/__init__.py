"""The layers of a Llama: attention and MLP, and the operations they are made of."""
