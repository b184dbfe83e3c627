"""The one virtual machine that reads pickles: it builds values and never runs what they name."""
