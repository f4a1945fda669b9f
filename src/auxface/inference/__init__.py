"""A trained model put to use: predictions for tables, answers for images, figures of what it rebuilds."""
