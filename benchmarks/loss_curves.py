"""Draw the loss of each reconstruction target by epoch, in units of the loss of the best constant prediction.

    python benchmarks/loss_curves.py docs/images/loss_curves.csv docs/images/loss_curves.svg

draws the figure of docs/method.md from the committed table. The table has the columns run, epoch and skill (on
validation images), as ``benchmarks/target_search.py`` writes them to ``curves.csv``; runs whose names differ only in
the seed are one line, their mean. ``--ratio 0.3`` draws the runs with this gradient ratio only. A loss of 1 is that of
the constant prediction, so the curve of a target that is not learned stays at 1; an untrained decoder may start above.
"""

import re
from pathlib import Path
from typing import Annotated

import pandas as pd
import typer
from matplotlib import rc_context
from matplotlib.figure import Figure

# Line styles besides colors, for readers who do not see colors.
STYLES = ("-", "--", "-.", ":")


def main(
    table: Annotated[Path, typer.Argument(help="CSV with the columns run, epoch and skill.")],
    out: Annotated[Path, typer.Argument(help="SVG or PNG to write.")],
    ratio: Annotated[float | None, typer.Option(help="Draw only runs with this gradient ratio.")] = None,
):
    """Draw TABLE as OUT, and print the last loss of each target."""
    losses = relative_losses(pd.read_csv(table), ratio)
    # Text stays text, and the file is equal for equal data.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "auxface", "font.size": 9}):
        figure = Figure(figsize=(6.4, 3.6), layout="constrained")
        axes = figure.add_subplot()
        for number, (name, line) in enumerate(losses.items()):
            axes.plot(line.index, line, STYLES[number // 10 % len(STYLES)], marker=".", label=name)
        axes.axhline(1, color="0.5", linewidth=0.8)
        axes.set(xlabel="epoch", ylabel="loss / loss of the best constant", xlim=(0.5, None))
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
        figure.savefig(out, metadata={"Date": None} if out.suffix == ".svg" else None)
    print(losses.ffill().iloc[-1].round(3).to_string())


def relative_losses(runs: pd.DataFrame, ratio: float | None = None) -> pd.DataFrame:
    """Return loss over constant loss, a row per epoch and a column per target; the mean over seeds."""
    runs = runs.dropna(subset=["skill"])
    if ratio is not None:
        runs = runs[runs["run"].str.contains(rf" ratio {re.escape(f'{ratio:g}')}(?: |$)")]
    names = runs["run"].str.replace(r" seed \d+$", "", regex=True)
    if ratio is not None:
        names = names.str.replace(r" ratio [\d.]+$", "", regex=True)
    return (1 - runs["skill"]).groupby([runs["epoch"], names]).mean().unstack()


if __name__ == "__main__":
    typer.run(main)
