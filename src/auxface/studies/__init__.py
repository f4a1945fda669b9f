"""Studies: grids of training runs, planned before they run, resumable, and compared with intervals.

``study`` executes the runs of a study file; ``study_report`` compares the finished runs.
"""
