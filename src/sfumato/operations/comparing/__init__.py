"""What differs between models, what is the same in another form, what was mixed from what."""
