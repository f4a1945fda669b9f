"""A predictor on the web: an HTTP API and one page over it."""
