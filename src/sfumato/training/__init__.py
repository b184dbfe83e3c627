"""Training every kind of model file: the engine with gradients."""
