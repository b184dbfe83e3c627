"""Painting with model files: networks, prompt, noise, samplers, adapters, pictures."""
