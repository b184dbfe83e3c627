"""The card: what is said of a file, and how it comes about."""
