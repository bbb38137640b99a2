"""Tasks: one TOML card each (`cards/`, or `./tasks/*.toml` of the user's folder) and one reader a format."""
