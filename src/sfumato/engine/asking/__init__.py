"""What is asked for: read, checked, and settled before anything is painted."""
