"""NT-Xent, the contrastive loss of SimCLR (Chen et al., 2020): the two views of an image get similar features.

Each view is compared with all other views of the step on all processes, whether its image is labeled or not. Combined
with metric learning, this is the self-supervised part of Seo et al. (arXiv 2304.07449), applied to faces.
"""

import torch
from torch import Tensor, nn

from auxface.data.augment.views import ViewRequest
from auxface.encoders import MaskableEncoder
from auxface.objectives.batch import Batch
from auxface.objectives.contrast.cluster_contrast import gather_rows, two_view
from auxface.objectives.objective import BuildContext, Objective, StepContext
from auxface.objectives.registry import ObjectiveSpec, register
from auxface.recipe import NTXentOptions


class NTXent(Objective):
    """The contrastive auxiliary of SimCLR; its projector is not used for predictions.

    With gradient accumulation, images are compared only within each micro-batch.

    Args:
        options: the recipe section.
        context: the encoder for which the objective is built.
    """

    def __init__(self, options: NTXentOptions, context: BuildContext) -> None:
        super().__init__()
        self.options = options
        self.views = tuple(ViewRequest(options.view, {"number": number}) for number in (1, 2))
        width = context.encoder.width
        self.projector = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, options.projector_width))

    def forward(self, encoder: MaskableEncoder, batch: Batch, context: StepContext) -> tuple[Tensor, dict[str, Tensor]]:
        """Compute the loss of two crops of every image; the mean similarity of the two crops is logged."""
        crops = torch.cat([batch.views[request].images for request in self.views])
        first, second = self.projector(encoder.forward_auxiliary(crops).pooled).chunk(2)
        # A micro-batch with scale 0 contains one image, which is excluded from the loss.
        count = len(first) if batch.scale else 0
        first, second = gather_rows(first[:count]), gather_rows(second[:count])
        if not len(first):
            return first.sum() + second.sum(), {}
        loss = nt_xent(first, second, self.options.temperature)
        similarity = torch.cosine_similarity(first.detach().float(), second.detach().float()).mean()
        return loss, {"loss_of_pairs": loss.detach(), "similarity": similarity}


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Compute the normalized temperature-scaled cross-entropy of 2N views, each against the other 2N - 1 views.

    This is the supervised contrastive loss in which each image forms its own class.

    Args:
        first: [N, d], embeddings of one view; they do not have to be normalized.
        second: [N, d], embeddings of the other view.
        temperature: divisor of the cosine similarities.
    """
    return two_view(first, second, torch.arange(len(first), device=first.device), temperature)


register(ObjectiveSpec("nt_xent", NTXentOptions, NTXent))
