"""Shards: a manifest's images in tar files of the webdataset form, to be read in sequence from far away."""

from auxface.data.shards.reading import Sample, ShardDataset, count_samples, read_shards
from auxface.data.shards.sharded_images import ShardImages, is_sharded, shard_images
from auxface.data.shards.writing import Sharded, write_shards

__all__ = [
    "Sample",
    "ShardDataset",
    "ShardImages",
    "Sharded",
    "count_samples",
    "is_sharded",
    "read_shards",
    "shard_images",
    "write_shards",
]
