"""What the stages are trained by: log-probabilities, losses, the step on sums, the loop."""
