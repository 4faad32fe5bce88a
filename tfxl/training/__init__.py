"""Training: strategy, optimizer, model.fit and what happens while it runs."""
