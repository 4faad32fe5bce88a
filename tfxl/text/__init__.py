"""Text: the tokenizer (TensorFlow ops, the same in training and serving), its vocabulary, and batches of examples."""
