"""Stable Diffusion model files: known, kept, changed and slimmed, without executing them."""
