"""Pictures with the record of how they were made."""
