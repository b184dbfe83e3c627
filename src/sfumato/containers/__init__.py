"""Bytes on disk as a mapping from name to tensor, and back; hostile files end in this room."""
