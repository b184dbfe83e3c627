"""The safetensors format: a JSON header that accounts for every byte, then the bytes."""
