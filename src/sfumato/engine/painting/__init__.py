"""The course of a job: from texts and noise to finished pictures."""
