"""CLIP's vocabulary: 49408 pieces of words, built up from pairs."""
