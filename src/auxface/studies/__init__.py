"""Studies: grids of training runs that are planned in advance, can be resumed, and are compared using intervals.

``study`` executes the runs of a study file; ``study_report`` compares the finished runs.
"""
