"""Training after pre-training: supervised fine-tuning, reward models, best-of-n, PPO and DPO, on rows padded right."""
