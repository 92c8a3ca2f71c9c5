"""Sweep files with mixtures: of the embedded domains that a plain install has."""

SWEEP = """\
name: mixed
model: {seq_len: 32, heads: 1, depth: 1}
corpus: {names: [speech, code, docs]}
mixtures: {count: 6, names: {codey: {code: 60%, docs: 0.4}}}
eval_tokens: 3072
fit:
  - {sizes: {width: 8, depth: 1}, tokens: [4k, 6k], mixtures: 6}
  - {sizes: [{width: 8, depth: 1}, {width: 16, depth: 1}], tokens: 8k, mixtures: [proportional, codey], seeds: 2}
target: {size: {width: 16, depth: 1}, tokens: 16k, for: {code: 30%, docs: 70%}, seeds: 2}
"""
