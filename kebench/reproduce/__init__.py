"""The whole paper in one command: the verbs in order, each step skipped while nothing behind it changes."""
