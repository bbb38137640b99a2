"""Scores from predictions alone: no model, no torch, no text."""
