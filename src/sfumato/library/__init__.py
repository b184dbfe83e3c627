"""What is on this disk: model files found by the names people give them."""
