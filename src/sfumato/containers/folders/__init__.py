"""Models in several files: diffusers folders and sharded sets."""
