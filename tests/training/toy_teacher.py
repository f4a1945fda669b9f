"""An auxiliary with an EMA teacher and a center, which a resumed run needs and an exported model does not."""

from copy import deepcopy

import torch
from torch import nn

from auxface.objectives import AuxiliaryOptions, Objective, ObjectiveSpec, ResumeOnly


class Center(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.register_buffer("value", torch.zeros(width))


class ToyTeacher(Objective):
    def __init__(self, options, context):
        super().__init__()
        self.teacher = ResumeOnly(deepcopy(context.encoder))
        self.center = ResumeOnly(Center(context.encoder.width))

    def forward(self, encoder, batch, context):
        target = self.teacher(batch.primary).pooled - self.center.module.value
        loss = (encoder(batch.primary.flip(-1)).pooled - target).square().mean()
        return loss, {"distance": loss.detach()}

    @torch.no_grad()
    def after_step(self, encoder, progress):
        for mine, theirs in zip(self.teacher.module.parameters(), encoder.parameters(), strict=True):
            mine.lerp_(theirs, 0.1)
        self.center.module.value.add_(0.01 * (progress.step + 1))


TOY_TEACHER = ObjectiveSpec("toy_teacher", AuxiliaryOptions, ToyTeacher)
