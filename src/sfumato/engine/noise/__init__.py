"""Random numbers that depend on the seed and on nothing else."""
