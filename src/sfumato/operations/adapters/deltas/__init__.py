"""What each kind of LoRA does to a weight, as pure functions of tensors."""
