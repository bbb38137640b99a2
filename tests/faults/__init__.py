"""Faults on purpose: kills, full disks, clocks, damage, hostile files, and what may be lost by them (nothing).

`pipeline` is everything kebench does, in small; `damage` makes bad files of good ones.
`python -m tests.faults` kills, `python -m tests.faults.fuzz` damages; both take long and are no tests.
"""
