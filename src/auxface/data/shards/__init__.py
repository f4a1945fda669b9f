"""Shards, which store a manifest's images as webdataset tar files that are read sequentially or by offset."""

from auxface.data.shards.reading import Sample, ShardDataset, count_samples, read_shards
from auxface.data.shards.sharded_images import ShardImages, index_shards, is_sharded, refuse_shards
from auxface.data.shards.writing import ShardCounts, write_shards

__all__ = [
    "Sample",
    "ShardCounts",
    "ShardDataset",
    "ShardImages",
    "count_samples",
    "index_shards",
    "is_sharded",
    "read_shards",
    "refuse_shards",
    "write_shards",
]
