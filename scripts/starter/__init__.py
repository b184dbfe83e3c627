"""Building the starter models: their pictures and their files."""
