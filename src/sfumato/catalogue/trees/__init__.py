"""Networks as trees of shapes."""
