"""The formulas of merging."""
