"""What can be trained: a checkpoint, a LoRA, an embedding, a hypernetwork, a VAE."""
