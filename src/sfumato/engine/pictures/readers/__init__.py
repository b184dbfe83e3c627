"""Readers of what programs write into their pictures, one file per program."""
