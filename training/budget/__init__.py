"""Training within a given time: a clock that kills survive, what a step costs here, what fits.

The plan is made once, from steps that were timed on this machine, and lies in the run's folder.
When a stage begins, its length is corrected by what the stages before it really took; while it
runs, it stops rather than take the time of those after it.
"""
