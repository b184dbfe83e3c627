"""One model from several: methods, weights by block, what comes from whom, recipes."""
