"""Statistics of records: summaries, and what a difference between two models is worth. No torch."""
