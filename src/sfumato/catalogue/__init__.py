"""What names and shapes mean: families, parts, spellings, kinds, the card."""
