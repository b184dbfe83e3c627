"""Schedules and samplers: from noise to a latent, one step at a time."""
