"""Stages after pre-training: the file that orders them, their runs, and what these begin from and are trained on."""
