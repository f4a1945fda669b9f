"""A trained model in use: predict, evaluate, explain, export."""
