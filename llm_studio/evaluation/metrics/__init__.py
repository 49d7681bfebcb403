"""One file per metric: a function of predictions and nothing else."""
