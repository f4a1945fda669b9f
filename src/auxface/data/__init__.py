"""Data from files to tensors: manifests, layouts, decoding, faces, views, synthetic faces and corruptions."""
