"""Checkpoints: where they come from, what is in them, and how they are loaded.

`source` turns what a user names into a directory, `fetch` brings it there, `layout` reads its files without
torch, `checkpoint` loads it.
"""
