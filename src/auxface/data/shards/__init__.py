"""Shards: a manifest's pictures in tar files of the webdataset form, to be read in sequence from far away."""

from auxface.data.shards.pictures import ShardPictures, is_sharded, shard_pictures
from auxface.data.shards.reading import Sample, count_samples, read_shards
from auxface.data.shards.torch_dataset import ShardDataset
from auxface.data.shards.writing import Sharded, write_shards

__all__ = [
    "Sample",
    "ShardDataset",
    "ShardPictures",
    "Sharded",
    "count_samples",
    "is_sharded",
    "read_shards",
    "shard_pictures",
    "write_shards",
]
