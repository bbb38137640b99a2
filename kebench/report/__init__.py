"""Reports from records: leaderboards for terminal, Markdown, LaTeX, CSV and JSON. Never imports torch."""
