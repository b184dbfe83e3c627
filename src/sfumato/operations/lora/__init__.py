"""New LoRA files made of models, and of other LoRA files."""
