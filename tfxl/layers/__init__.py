"""Keras layers that heads and tuners are made of; used from Python, not from recipes."""
