"""A model of 1 to 256 GPUs on the joint step of a ViT-base/16 at 224: ``python benchmarks/scaling.py [--step-ms MS]``.

    compute       = images per GPU * operations per image / (published rate of the card * fraction reached)
    all_reduce(n) = 2 (n - 1) / n * bytes of the gradients / slowest link + 2 (n - 1) * latency            (a ring)
    step(n)       = compute + max(0, all_reduce(n) - overlap * backward)
    data(n)       = images per second * bytes of an image, read from storage once an epoch
    cores         = images per second of one GPU / images per second of one decoding thread

``--step-ms`` replaces the first line by the measured step of one GPU (``step.py --setting base16``, with the same
``--batch``). Each GPU keeps its own batch (weak scaling). The backward pass is two thirds of a step; ``--overlap`` is
the fraction of it that overlaps communication. Operations are those of the matrices alone: two per multiplication and
addition, three times the forward pass. Slow processes, limits of a storage server and validation are not part of the
model.
"""

import argparse
from collections.abc import Iterator

# Dense bf16 operations per second in the makers' data sheets.
PUBLISHED = {"a100": 312e12, "h100": 989e12}
GPUS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


def block_operations(tokens: int, width: int, depth: int) -> float:
    """Return the multiplications and additions of transformer blocks on one sequence: linear, then attention."""
    return 2 * depth * (12 * tokens * width**2 + 2 * tokens**2 * width)


def operations_per_image(width: int = 768, depth: int = 12, masked: float = 0.75, outputs: int = 2048) -> float:
    """Return the operations of a step on an image of 196 patches: full pass, masked pass, published decoder."""
    patches, decoder = 196, 128
    visible = round(patches * (1 - masked))
    embedding = 2 * patches * 3 * 16**2 * width
    encoder = block_operations(patches + 1, width, depth) + block_operations(visible + 1, width, depth)
    decoding = block_operations(patches + 1, decoder, 2) + 2 * visible * width * decoder
    return 3 * (embedding + encoder + decoding + 2 * (patches - visible) * decoder * outputs)


def all_reduce(gpus: int, gradient_bytes: float, link: float, network: float, per_node: int, latency: float) -> float:
    """Return the seconds of a ring all-reduce over ``gpus`` GPUs; rates in bytes per second."""
    if gpus == 1:
        return 0.0
    rate = link if gpus <= per_node else min(link, network)
    return 2 * (gpus - 1) / gpus * gradient_bytes / rate + 2 * (gpus - 1) * latency


def quantities(options: argparse.Namespace, operations: float, step: float) -> Iterator[tuple[str, str, str]]:
    """Yield the quantities of the model: name, value, source."""
    if options.step_ms is None:
        yield "operations per image", f"{operations / 1e9:.0f} G", "counted"
        yield f"dense bf16 rate, {options.card.upper()}", f"{PUBLISHED[options.card] / 1e12:.0f} T/s", "published"
        yield "fraction of it that a step reaches", f"{options.share:.0%}", "assumed"
        yield "step of one GPU", f"{1e3 * step:.1f} ms", "computed"
    else:
        yield "step of one GPU", f"{1e3 * step:.1f} ms", "measured"
    yield "images per GPU and step", f"{options.batch}", "chosen"
    yield "gradient values", f"{options.parameters / 1e6:.1f} M of {options.bytes:g} bytes", "counted"
    yield f"link between the {options.per_node} GPUs of a node", f"{options.link:g} GB/s", "assumed"
    yield "network between nodes, per ring", f"{options.network:g} GB/s", "assumed"
    yield "latency of a message", f"{options.latency:g} us", "assumed"
    yield "fraction of the backward pass that overlaps communication", f"{options.overlap:.0%}", "assumed"
    yield "size of an image in storage", f"{options.file:g} kB", "assumed"
    yield "images per second of a decoding thread", f"{options.decoding:g}", "assumed"


def main() -> None:
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--step-ms", type=float, help="measured step of one GPU; replaces --card and --share")
    parser.add_argument("--card", choices=PUBLISHED, default="h100")
    parser.add_argument(
        "--share", type=float, default=0.4, help="fraction of the card's published rate that a step reaches"
    )
    parser.add_argument("--batch", type=int, default=128, help="images per step and GPU")
    parser.add_argument("--parameters", type=float, default=86.4e6, help="of encoder, decoder and heads")
    parser.add_argument("--bytes", type=float, default=4, help="per gradient value when sent")
    parser.add_argument("--link", type=float, default=300, help="GB/s between the GPUs of a node")
    parser.add_argument("--network", type=float, default=25, help="GB/s between nodes")
    parser.add_argument("--per-node", type=int, default=8)
    parser.add_argument("--latency", type=float, default=5, help="microseconds per message")
    parser.add_argument(
        "--overlap", type=float, default=0.8, help="fraction of the backward pass that overlaps communication"
    )
    parser.add_argument("--file", type=float, default=20, help="kilobytes of an image")
    parser.add_argument(
        "--decoding",
        type=float,
        default=1200,
        help="images of 224 x 224 per second and thread; a quarter of the 4,774 for 112 x 112 in docs/data.md",
    )
    options = parser.parse_args()
    operations = operations_per_image()
    computed = options.batch * operations / (PUBLISHED[options.card] * options.share)
    step = computed if options.step_ms is None else options.step_ms / 1e3
    print("| quantity | value | source |\n|---|---|---|")
    for line in quantities(options, operations, step):
        print("| {} | {} | {} |".format(*line))
    print("\n| GPUs | all-reduce, ms | step, ms | images/s | efficiency | data, MB/s | decoding cores per GPU |")
    print("|---|---|---|---|---|---|---|")
    gradients = options.parameters * options.bytes
    rates = (options.link * 1e9, options.network * 1e9)
    for gpus in GPUS:
        communication = all_reduce(gpus, gradients, *rates, options.per_node, options.latency * 1e-6)
        step_time = step + max(0.0, communication - options.overlap * step * 2 / 3)
        rate = gpus * options.batch / step_time
        speed = f"{1e3 * communication:.2f} | {1e3 * step_time:.2f} | {rate:,.0f} | {100 * step / step_time:.0f} %"
        print(f"| {gpus} | {speed} | {rate * options.file / 1e3:,.0f} | {rate / gpus / options.decoding:.1f} |")


if __name__ == "__main__":
    main()
