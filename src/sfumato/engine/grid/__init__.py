"""Pictures side by side: what is varied, in which order it is painted, and the sheet of them."""
