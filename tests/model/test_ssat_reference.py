"""The joint step against SSAT (Das et al., 2023) written plainly from its description, one image at a time."""

import pytest
import torch
import torch.nn.functional as F

from auxface.encoders import random_mask
from auxface.model import JointModel
from auxface.objectives import Batch, LearnedTask
from auxface.recipe import Encoder, Recipe, ReconstructionOptions

RECIPE = Recipe(
    primary_weight=0.1,
    auxiliary=ReconstructionOptions(decoder_width=32, decoder_depth=2, decoder_heads=4),
    encoder=Encoder(image_size=32, patch_size=8, width=32, depth=2, heads=4),
)
TASKS = (
    LearnedTask("emotion", "class", ("happy", "sad", "angry")),
    LearnedTask("forged", "binary", ("real", "forged")),
)


def plain_step(model, batch, primary_weight=0.1, mask_ratio=0.75, side=8, count=16):
    """0.1 * cross-entropy of the whole pixels + 0.9 * squared error of the hidden patches; nothing clever."""
    encoder, decoder = model.encoder.vit, model.auxiliaries["reconstruction"].decoder

    def run(blocks, norm, tokens):
        for block in blocks:
            tokens = tokens + block.attn(block.norm1(tokens))
            tokens = tokens + block.mlp(block.norm2(tokens))
        return norm(tokens)

    primary, auxiliary = [], []
    for number, pixels in enumerate(batch.primary):
        image = (pixels - model.encoder.mean[0]) / model.encoder.std[0]
        rows = image.split(side, dim=1)
        patches = [cell for row in rows for cell in row.split(side, dim=2)]
        kernel = encoder.patch_embed.proj
        tokens = torch.stack([(kernel.weight * cell).sum(dim=(1, 2, 3)) + kernel.bias for cell in patches])
        tokens = tokens + encoder.pos_embed[0, 1:]
        first = encoder.cls_token[0] + encoder.pos_embed[0, :1]

        seen = run(encoder.blocks, encoder.norm, torch.cat([first, tokens])[None])
        scores = [head(seen[0, 0]) for head in model.primary.heads]
        smooth = torch.full((3,), 0.1 / 3)
        smooth[batch.labels["emotion"][number]] += 0.9
        emotion = -(smooth * scores[0].log_softmax(0)).sum()
        forged = F.binary_cross_entropy_with_logits(scores[1][0], 0.9 * batch.labels["forged"][number] + 0.05)
        primary.append((emotion + forged) / 2)

        hidden = random_mask(batch.seeds[number : number + 1], count, mask_ratio).boolean()[0]
        seen = run(encoder.blocks, encoder.norm, torch.cat([first, tokens[~hidden]])[None])
        small = decoder.embed(seen[0])
        places = decoder.mask_token[0].repeat(count, 1)
        places[~hidden] = small[1:]
        rebuilt = run(decoder.blocks, decoder.norm, torch.cat([small[:1], places + decoder.positions[0]])[None])[0, 1:]
        error = [
            (decoder.predict["rgb"](rebuilt[place]) - patches[place].permute(1, 2, 0).flatten()).square().mean()
            for place in range(count)
            if hidden[place]
        ]
        auxiliary.append(torch.stack(error).mean())
    return primary_weight * torch.stack(primary).mean() + (1 - primary_weight) * torch.stack(auxiliary).mean()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_step_equals_a_plain_reference(seed):
    model = JointModel(RECIPE.model_copy(update={"seed": seed}), TASKS)
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randint(0, 256, (5, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = {
        "emotion": torch.randint(0, 3, (5,), generator=generator),
        "forged": torch.randint(0, 2, (5,), generator=generator).float(),
    }
    batch = Batch(primary=clean.float() / 255, clean=clean, labels=labels, seeds=torch.arange(5) + 100 * seed)

    loss = model(batch).loss
    loss.backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}
    model.zero_grad()
    reference = plain_step(model, batch)
    reference.backward()

    torch.testing.assert_close(loss, reference, rtol=1e-5, atol=1e-6)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(gradients[name], parameter.grad, rtol=1e-4, atol=1e-6, msg=name)
