"""The shared layers: a block starts as the identity, the norm reads one place only, encodings of times differ."""

from __future__ import annotations

import torch

from imagelab.generators.layers import TIMES, ConvBlock, DenseBlock, Norm, times


def test_a_new_block_is_the_identity_and_the_time_matters_once_it_has_weights():
    torch.manual_seed(0)
    for block, shape in ((ConvBlock(6, 5), (2, 6, 4, 4)), (DenseBlock(6), (2, 6))):
        h, time = torch.randn(shape), torch.randn(2, 5 if len(shape) == 4 else 6)
        torch.testing.assert_close(block(h, time), h, rtol=0, atol=0)
        for weights in (block.outer.weight, block.told.weight):
            torch.nn.init.normal_(weights)
        assert (block(h, time) - block(h, -time)).abs().max() > 1e-3


def test_the_norm_gives_every_place_root_mean_square_one_and_reads_no_other_place():
    torch.manual_seed(0)
    x = 7 * torch.randn(2, 6, 4, 4)
    made = Norm(6)(x)
    torch.testing.assert_close(made.square().mean(1), torch.ones(2, 4, 4), rtol=1e-4, atol=0)
    changed = x.clone()
    changed[..., 0, 0] = 0
    torch.testing.assert_close(Norm(6)(changed)[..., 1:, :], made[..., 1:, :], rtol=0, atol=0)


def test_times_a_thousandth_apart_have_different_encodings():
    told = times(torch.tensor([0.5, 0.501]))
    assert told.shape == (2, TIMES)
    assert (told[0] - told[1]).norm() > 0.1
