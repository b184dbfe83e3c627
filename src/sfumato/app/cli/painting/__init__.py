"""What `sfumato generate` and `sfumato grid` share: their options, and how they tell things."""
