"""Read, sample and write video files, and pass clips through functions of images."""
