"""What the training commands share: their options, the run that these make, what is told of it."""
