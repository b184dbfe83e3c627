"""LoRA files of any kind and spelling, placed on the weights that they change."""
