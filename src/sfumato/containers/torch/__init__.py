"""The containers that torch.save and its ancestors write, read without running them."""
