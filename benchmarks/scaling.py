"""A model of many GPUs from what one was measured at: ``python benchmarks/scaling.py STEP_MS [OPTION ...]``.

    step(n)    = compute + max(0, all_reduce(n) - overlap * backward)
    all_reduce = 2 (n - 1) / n * bytes of the gradients / slowest link + 2 (n - 1) * latency      (a ring)

Each GPU keeps its own batch (weak scaling). Backward is two thirds of a step; ``--overlap`` of it is free to send
gradients in while it computes. Within a node the link is ``--link``, beyond one ``--network``, shared by its GPUs.
Data: each picture travels from storage once, as a file of ``--file`` kilobytes. What is left out: stragglers, the
sharing of a storage server, the file system's own limits, and validation.
"""

import argparse


def all_reduce(gpus: int, gradient_bytes: float, link: float, network: float, per_node: int, latency: float) -> float:
    """Seconds of a ring all-reduce over ``gpus``; rates in bytes per second."""
    if gpus == 1:
        return 0.0
    rate = link if gpus <= per_node else min(link, network)
    return 2 * (gpus - 1) / gpus * gradient_bytes / rate + 2 * (gpus - 1) * latency


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step_ms", type=float, help="one GPU's step, from benchmarks/step.py --setting base16")
    parser.add_argument("--batch", type=int, default=8, help="pictures of that step")
    parser.add_argument("--parameters", type=float, default=87e6, help="encoder, decoder and heads")
    parser.add_argument("--bytes", type=float, default=4, help="of one gradient on the way")
    parser.add_argument("--link", type=float, default=300, help="GB/s between the GPUs of a node")
    parser.add_argument("--network", type=float, default=25, help="GB/s between nodes")
    parser.add_argument("--per-node", type=int, default=8)
    parser.add_argument("--latency", type=float, default=5, help="microseconds per message")
    parser.add_argument("--overlap", type=float, default=0.8, help="share of backward in which gradients are sent")
    parser.add_argument("--file", type=float, default=10, help="kilobytes of a picture")
    options = parser.parse_args()
    step = options.step_ms / 1e3
    print("| GPUs | all-reduce, ms | step, ms | pictures/s | efficiency | data, MB/s |\n|---|---|---|---|---|---|")
    for gpus in (1, 2, 4, 8, 16, 32, 64, 128, 256):
        sending = all_reduce(
            gpus,
            options.parameters * options.bytes,
            options.link * 1e9,
            options.network * 1e9,
            options.per_node,
            options.latency * 1e-6,
        )
        taken = step + max(0.0, sending - options.overlap * step * 2 / 3)
        rate = gpus * options.batch / taken
        print(
            f"| {gpus} | {1e3 * sending:.2f} | {1e3 * taken:.2f} | {rate:.0f} | {100 * step / taken:.0f} % "
            f"| {rate * options.file / 1e3:.0f} |"
        )


if __name__ == "__main__":
    main()
