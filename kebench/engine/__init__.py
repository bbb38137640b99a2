"""Engines: how the jobs of a grid are carried out. So far one, on this machine."""
