"""A network's sizes, read off the shapes of its tensors."""
