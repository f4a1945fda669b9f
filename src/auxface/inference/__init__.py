"""A trained model put to use: predictions for tables, answers for pictures, figures of what it rebuilds."""
