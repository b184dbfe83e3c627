"""The networks of the latent diffusion line, spelled like their checkpoints."""
