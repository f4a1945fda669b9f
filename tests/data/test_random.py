import torch
from hypothesis import given
from hypothesis import strategies as st

from auxface.data.random import sample_seeds, uniforms

INT64 = st.integers(-(2**63), 2**63 - 1)


def splitmix64(state: int) -> int:
    mask = 2**64 - 1
    state &= mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


@given(INT64, st.integers(0, 5))
def test_uniforms_equal_splitmix64_in_integers(seed, stream):
    start = splitmix64(seed + 0xD1342543DE82EF95 * (stream + 1))
    expected = [(splitmix64(start + 0x9E3779B97F4A7C15 * i) >> 40) / 2**24 for i in (1, 2, 3)]
    assert uniforms(torch.tensor([seed]), 3, stream=stream)[0].tolist() == expected


@given(st.lists(INT64, min_size=2, max_size=6), st.integers(1, 20))
def test_a_row_depends_on_its_own_seed_only(seeds, count):
    together = uniforms(torch.tensor(seeds), 20)
    for row, seed in enumerate(seeds):
        assert torch.equal(uniforms(torch.tensor([seed]), count)[0], together[row, :count])


def test_numbers_are_uniform_and_uncorrelated():
    indices = torch.arange(20_000)
    columns = [
        uniforms(sample_seeds(seed, epoch, indices), 2, stream=stream)
        for seed, epoch, stream in ((0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0))
    ]
    values = torch.cat(columns, 1).double()
    assert values.min() >= 0
    assert values.max() < 1
    # Five standard deviations of a mean, and of a correlation, of 20,000 independent numbers.
    assert (values.mean(0) - 0.5).abs().max() < 5 * 0.2887 / 20_000**0.5
    correlation = torch.corrcoef(values.T) - torch.eye(8)
    assert correlation.abs().max() < 5 / 20_000**0.5
    bins = torch.histc(values[:, 0], 64, 0, 1)
    assert ((bins - 312.5) ** 2 / 312.5).sum() < 63 + 5 * (2 * 63) ** 0.5


def test_sample_seeds_differ_over_samples_epochs_and_runs():
    indices = torch.arange(1000)
    seeds = torch.cat([sample_seeds(seed, epoch, indices) for seed in (0, 1, -1) for epoch in range(4)])
    assert len(seeds.unique()) == 12_000
    assert torch.equal(sample_seeds(5, 3, indices[[7]]), sample_seeds(5, 3, indices)[[7]])
