"""The schema of a table of runs: its columns, their aliases and their meanings."""

NUMBERS = (
    "params",
    "params_nonembedding",
    "params_active",
    "tokens",
    "unique_tokens",
    "epochs",
    "flops",
    "flops_6nd",
    "loss",
    "loss_stderr",
    "bits_per_byte",
    "lr",
    "batch_tokens",
    "warmup_tokens",
    "decay_fraction",
    "weight_decay",
    "seed",
    "width",
    "depth",
    "heads",
    "kv_heads",
    "ffn",
    "vocab",
    "seq_len",
    "wall_s",
    "mfu",
    "usd",
)
TEXTS = (
    "run_id",
    "trunk_id",
    "sweep",
    "role",
    "status",
    "schedule",
    "optimizer",
    "recipe",
    "corpus",
    "tokenizer",
    "held_out_sha256",
    "dtype",
    "device",
)
REQUIRED = ("params", "tokens", "loss")
NATS = "nats per token"
# Usual names, in the spelling of ``recognition.spelling.normalised``.
ALIASES = {
    "params": ("n", "n_params", "model_size"),
    "tokens": ("d", "n_tokens", "train_tokens"),
    "loss": ("val_loss", "final_loss", "eval_loss"),
    "flops": ("c", "compute"),
    "run_id": ("run",),
    "trunk_id": ("trunk",),
    "corpus": ("train_data", "dataset", "data", "training_data", "train_set"),
    "lr": ("learning_rate", "peak_lr", "max_lr"),
    "weight_decay": ("wd",),
    "optimizer": ("optim", "opt"),
    "epochs": ("n_epochs",),
}
# Names that are taken where none of the above is there. A column called loss, beside one of these or of its aliases,
# may be the training loss.
FURTHER = {
    "params": (
        *("parameters", "num_params", "num_parameters", "n_parameters", "parameter_count", "param_count"),
        *("total_params", "total_parameters", "model_params", "model_parameters"),
    ),
    "tokens": (
        *("num_tokens", "total_tokens", "training_tokens", "tokens_seen", "n_train_tokens", "num_train_tokens"),
        *("token_count", "num_input_tokens_seen", "tokens_trained"),
    ),
    "loss": (
        *("validation_loss", "valid_loss", "test_loss", "dev_loss", "held_out_loss", "heldout_loss", "loss_val"),
        *("eval_nll", "val_nll", "validation_nll", "eval_cross_entropy", "val_cross_entropy"),
    ),
    "flops": ("train_flops", "training_flops", "total_flops", "compute_flops"),
}
# What a sweep may vary at one size and length, looking for the least loss; a seed is not looked for.
RECIPE = (
    "lr",
    "batch_tokens",
    "warmup_tokens",
    "schedule",
    "decay_fraction",
    "weight_decay",
    "optimizer",
    "recipe",
    "width",
    "depth",
    "heads",
    "kv_heads",
    "ffn",
    "dtype",
)
