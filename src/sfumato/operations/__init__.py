"""Mapping in, mapping out: convert, prune, use averages, repair, split, join."""
