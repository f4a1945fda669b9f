"""From files to tensors: manifests, layouts, decoding, faces, views, synthetic faces, corruptions."""
