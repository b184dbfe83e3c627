"""What the first bytes of a file say: a container, or a sentence on what it is instead."""
