"""From a data set as its owners publish it to a manifest."""
