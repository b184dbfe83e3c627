"""Embeddings inside pictures, as AUTOMATIC1111 hides them."""
