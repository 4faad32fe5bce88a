"""Serving: the SavedModel, its checks and warm-up, and the model read back from disk."""
