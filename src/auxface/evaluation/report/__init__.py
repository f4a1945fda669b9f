"""The report of an audit: HTML page, JSON and CSV files."""
