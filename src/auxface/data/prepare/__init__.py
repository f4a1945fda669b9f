"""Preparation of data sets, from the published files to a manifest."""
