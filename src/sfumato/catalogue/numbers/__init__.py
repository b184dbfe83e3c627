"""What only reading the numbers tells."""
