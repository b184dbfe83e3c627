"""From a checkpoint file to networks in memory, and back out of it."""
