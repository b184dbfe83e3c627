"""Pictures with captions, as training asks for them."""
