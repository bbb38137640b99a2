"""The embedded miniature: a small world of medical facts, and the corpus, tasks and model made from it."""
