"""The prompt language of AUTOMATIC1111's web UI."""
