"""Prepare a data set: from the files that its owners publish to a manifest."""
