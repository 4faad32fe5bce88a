"""Pretrained weights: where they come from, how they map onto TFBertModel, whether they fit their tokenizer."""
