"""Faults on purpose: kills, full disks, clocks, damage, hostile files, and what is lost by them.

`pipeline` is everything kebench does, in small; `damage` makes bad files of good ones.
`python -m tests.faults` kills, `python -m tests.faults.fuzz` damages; both take long and are no tests.
"""
