"""Texts of valid sweep files."""

GOOD = """\
name: small
model: {seq_len: 128, head_dim: 16, width_per_layer: 16}
corpus: sotu
fit:
  - {sizes: [7.5k, 33k], flops: [1e10, 3e10], seeds: 2}
  - {sizes: {width: 64, depth: 3}, tokens_per_param: 20, seeds: [3, 5]}
target: {size: 120k, flops: 3e12, seeds: 3}
"""
GRID = """\
name: tuning
model: {seq_len: 32, head_dim: 8, depth: 1}
corpus: sotu
grid: {learning_rate: [0.5x, 1x, 3e-3], warmup: 5%}
fit: {sizes: 8k, flops: 1e9, seeds: 2}
"""
