"""One network under the names of several programs, in both directions."""
