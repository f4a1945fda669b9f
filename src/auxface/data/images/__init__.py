"""Image files decoded, checked and cached."""
