"""Between pictures and latents: which VAE, in which precision, in how many tiles."""
