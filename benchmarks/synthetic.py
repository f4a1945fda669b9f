"""How long 4,000 synthetic faces of 64x64 take: `python benchmarks/synthetic.py [COUNT] [SIZE]`."""

import sys
import time

from auxface.data.synthetic import render_faces


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 4000
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 64
    start = time.perf_counter()
    render_faces(count, size=size)
    seconds = time.perf_counter() - start
    print(f"{count} faces of {size}x{size}: {seconds:.1f} s, {1000 * seconds / count:.2f} ms a face")


if __name__ == "__main__":
    main()
