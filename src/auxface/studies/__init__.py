"""Studies: many trainings planned before they run, resumable, and compared with intervals."""
