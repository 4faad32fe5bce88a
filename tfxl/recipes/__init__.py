"""Recipes: whole runs as TOML files; the head comment of each says its command, hardware, time and expected scores."""
