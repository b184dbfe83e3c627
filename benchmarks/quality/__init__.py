"""What the starter models can do, judged by rules that are proved on real pictures."""
