"""Engines: how the jobs of a grid are carried out.

`local`: one after another in this process. `processes`: side by side in several, on this machine. `ray`: as
tasks of a Ray cluster. The last two are pools that `drive` gives jobs to; `work` is what happens in the other
process.
"""
