"""For every key of a recipe a change that must be seen, and what it must be seen in.

A change is ``Section.field: (base settings, further settings, where)``: training with the base and the further settings
must differ in ``where`` from training with the base alone. See ``observe`` in ``test_every_key_counts.py``.
"""

VIT = (
    "encoder.image_size=32",
    "encoder.width=32",
    "encoder.depth=2",
    "encoder.heads=2",
    "train.base_learning_rate=0.1",
)
DECODER = ("auxiliary.decoder_width=16", "auxiliary.decoder_depth=1", "auxiliary.decoder_heads=2")
RGB = (*VIT, *DECODER, "tasks=[kind]", "auxiliary.target=rgb", "balance=fixed")
CODES = (*RGB, "auxiliary.target={name: local_binary_pattern, encoding: bits}")
ALONE = (*VIT, "tasks=[kind]", "auxiliary=null", "balance=fixed", "primary_weight=1")
TEXTURE = (*RGB, "auxiliary.input=texture")
CLUSTERS = (*ALONE, "primary_weight=0.5", "auxiliaries.cluster_contrast.projector_width=16")
KMEANS = (*CLUSTERS, "auxiliaries.cluster_contrast.clusters=kmeans", "auxiliaries.cluster_contrast.every=1")
NT_XENT = (*ALONE, "primary_weight=0.5", "auxiliaries.nt_xent.projector_width=16")
METRIC = (*ALONE, "primary.kind=metric_learning")
SCHEDULE = (*RGB, "balance={kind: schedule, start: 0.2, end: 0.8}")
GROUPS = (*ALONE, "train.sampling=group_balanced", "train.group=where")
AGE = (*ALONE, "tasks=[age]")
BLENDED = (*ALONE, "tasks=[]", "tasks={forged: {}}", "train.self_blend=forged")
CLIPS = ("encoder.name=videomae_tiny", "encoder.image_size=32")
W, LOG, FILES, ERROR = "weights", "log", "files", "error"

CHANGES = {
    "Recipe.name": (ALONE, ("name=another",), "card"),
    "Recipe.seed": (ALONE, ("seed=7",), W),
    "Recipe.tasks": (ALONE, ("tasks=[where]",), LOG),
    "Recipe.primary_weight": (RGB, ("primary_weight=0.9",), W),
    "Recipe.auxiliary": (RGB, ("auxiliary=null", "primary_weight=1"), W),
    "Recipe.auxiliaries": (RGB, ("auxiliaries={cluster_contrast: {projector_width: 16}}",), W),
    "Recipe.texture_input": (TEXTURE, ("texture_input=local_binary_pattern",), W),
    "Recipe.fusion": (RGB, ("fusion=concat",), W),
    "Recipe.clips": (CLIPS, ("clips={stride: 3}",), "clip"),
    "Balance.kind": (RGB, ("balance.kind=learned",), W),
    "Balance.start": (SCHEDULE, ("balance.start=0.5",), W),
    "Balance.end": (SCHEDULE, ("balance.end=0.5",), W),
    "Balance.shape": (SCHEDULE, ("balance.shape=cosine",), W),
    "Balance.ratio": ((*RGB, "balance={kind: gradient}"), ("balance.ratio=3",), W),
    "Scheme.kind": ((*RGB, "primary_weight=1"), ("scheme=alternating",), W),
    "Scheme.pretrain_fraction": (
        (*RGB, "primary_weight=1", "scheme=sequential"), ("scheme={kind: sequential, pretrain_fraction: 0.25}",), W
    ),
    "Primary.input": (TEXTURE, ("primary.input=texture",), W),
    "Primary.label_smoothing": (ALONE, ("primary.label_smoothing=0.3",), W),
    "Primary.kind": (ALONE, ("primary.kind=metric_learning",), W),
    "Primary.view": (ALONE, ("primary.view=clean",), W),
    "Primary.freeze": (ALONE, ("primary.freeze=true",), W),
    "Primary.loss": (METRIC, ("primary.loss=arcface",), W),
    "Primary.margin": (METRIC, ("primary.margin=0.1",), W),
    "Primary.scale": (METRIC, ("primary.scale=10",), W),
    "Primary.attribute_scale": ((*METRIC, "tasks=[forged]"), ("primary.attribute_scale=4",), W),
    "Primary.embedding_width": (METRIC, ("primary.embedding_width=32",), W),
    "TaskOptions.classes": (ALONE, ("tasks={kind: {classes: [b, a]}}",), ERROR),
    "TaskOptions.weight": ((*ALONE, "tasks=[kind, where]"), ("tasks={kind: {weight: 5}, where: {}}",), W),
    "TaskOptions.class_weights": (ALONE, ("tasks={kind: {class_weights: {a: 9}}}",), W),
    "TaskOptions.focal_gamma": (ALONE, ("tasks={kind: {focal_gamma: 2}}",), W),
    "TaskOptions.bins": (AGE, ("tasks={age: {bins: 5}}",), W),
    "TextureInput.name": (TEXTURE, ("texture_input.name=census_transform",), W),
    "TextureInput.parameters": (TEXTURE, ("texture_input={parameters: {k: 2}}",), W),
    "ReconstructionOptions.weight": (RGB, ("auxiliary.weight=3",), W),
    "ReconstructionOptions.warmup": (RGB, ("auxiliary.warmup=0.9",), W),
    "ReconstructionOptions.input": (RGB, ("auxiliary.input=texture",), W),
    "ReconstructionOptions.target": (RGB, ("auxiliary.target=local_binary_pattern",), W),
    "ReconstructionOptions.mask_ratio": (RGB, ("auxiliary.mask_ratio=0.5",), W),
    "ReconstructionOptions.masking": (RGB, ("auxiliary.masking=block",), W),
    "ReconstructionOptions.predict": (RGB, ("auxiliary.predict=all",), "decoded"),
    "ReconstructionOptions.decoder_width": (RGB, ("auxiliary.decoder_width=32",), W),
    "ReconstructionOptions.decoder_depth": (RGB, ("auxiliary.decoder_depth=2",), W),
    "ReconstructionOptions.decoder_heads": (RGB, ("auxiliary.decoder_heads=4",), W),
    "ReconstructionOptions.shuffle": (RGB, ("auxiliary.shuffle=true",), W),
    "ReconstructionOptions.normalize_target": (RGB, ("auxiliary.normalize_target=true",), W),
    "Target.name": (CODES, ("auxiliary.target={name: census_transform, encoding: bits}",), W),
    "Target.encoding": (CODES, ("auxiliary.target={name: local_binary_pattern, encoding: histogram}",), W),
    "Target.smooth": (CODES, ("auxiliary.target={name: local_binary_pattern, encoding: bits, smooth: 1}",), W),
    "Target.scale": (CODES, ("auxiliary.target={name: local_binary_pattern, encoding: bits, scale: 2}",), W),
    "Target.weight": (
        (*RGB, "auxiliary.target=[rgb, local_binary_pattern]"),
        ("auxiliary.target=[{name: rgb, weight: 5}, local_binary_pattern]",),
        W,
    ),
    "Target.parameters": (
        CODES, ("auxiliary.target={name: local_binary_pattern, encoding: bits, parameters: {radius: 2}}",), W
    ),
    "ClusterContrastOptions.weight": (CLUSTERS, ("auxiliaries.cluster_contrast.weight=0.2",), W),
    "ClusterContrastOptions.warmup": (CLUSTERS, ("auxiliaries.cluster_contrast.warmup=0.9",), W),
    "ClusterContrastOptions.clusters": (CLUSTERS, ("auxiliaries.cluster_contrast.clusters=kmeans",), W),
    "ClusterContrastOptions.labels": (CLUSTERS, ("auxiliaries.cluster_contrast.labels=[forged]",), W),
    "ClusterContrastOptions.top_k": (CLUSTERS, ("auxiliaries.cluster_contrast.top_k=1",), W),
    "ClusterContrastOptions.n_clusters": (KMEANS, ("auxiliaries.cluster_contrast.n_clusters=2",), W),
    "ClusterContrastOptions.every": (KMEANS, ("auxiliaries.cluster_contrast.every=5",), W),
    "ClusterContrastOptions.loss": (CLUSTERS, ("auxiliaries.cluster_contrast.loss=cross_view",), W),
    "ClusterContrastOptions.temperature": (CLUSTERS, ("auxiliaries.cluster_contrast.temperature=0.5",), W),
    "ClusterContrastOptions.projector_width": (CLUSTERS, ("auxiliaries.cluster_contrast.projector_width=32",), W),
    "NTXentOptions.weight": (NT_XENT, ("auxiliaries.nt_xent.weight=0.2",), W),
    "NTXentOptions.warmup": (NT_XENT, ("auxiliaries.nt_xent.warmup=0.9",), W),
    "NTXentOptions.temperature": (NT_XENT, ("auxiliaries.nt_xent.temperature=0.5",), W),
    "NTXentOptions.projector_width": (NT_XENT, ("auxiliaries.nt_xent.projector_width=32",), W),
    "Encoder.name": (ALONE, ("encoder.name=deit3_small_patch16_224", "encoder.patch_size=8"), W),
    "Encoder.pretrained": (ALONE, ("encoder.pretrained=true",), ERROR),
    "Encoder.init_from": (ALONE, ("encoder.init_from=given.safetensors",), W),
    "Encoder.image_size": (ALONE, ("encoder.image_size=48",), W),
    "Encoder.evaluation_crop": (CLIPS, ("encoder.evaluation_crop=0.875",), "clip"),
    "Encoder.patch_size": (ALONE, ("encoder.patch_size=16",), W),
    "Encoder.width": (ALONE, ("encoder.width=64",), W),
    "Encoder.depth": (ALONE, ("encoder.depth=1",), W),
    "Encoder.heads": (ALONE, ("encoder.heads=4",), W),
    "Encoder.drop_path": (ALONE, ("encoder.drop_path=0.5",), W),
    "Encoder.output_stride": (
        (*ALONE[4:], "encoder.name=test_resnet", "encoder.image_size=64"), ("encoder.output_stride=8",), "built"
    ),
    "Encoder.positions": (ALONE, ("encoder.positions=learned",), W),
    "Encoder.mean": (ALONE, ("encoder.mean=[0.3, 0.4, 0.5]",), W),
    "Encoder.std": (ALONE, ("encoder.std=[0.5, 0.5, 0.5]",), W),
    "Encoder.num_frames": (CLIPS, ("encoder.num_frames=8",), "clip"),
    "Encoder.tubelet_size": (CLIPS, ("encoder.tubelet_size=4",), "clip"),
    "Clips.stride": (CLIPS, ("clips.stride=2",), "clip"),
    "Clips.per_video": (CLIPS, ("clips.per_video=2",), "clip"),
    "Train.epochs": (ALONE, ("train.epochs=3",), LOG),
    "Train.batch_size": (ALONE, ("train.batch_size=4",), W),
    "Train.abstain_accuracy": (ALONE, ("train.abstain_accuracy=0.9",), "records"),
    "Train.accumulate": (ALONE, ("train.accumulate=2",), "batches"),
    "Train.base_learning_rate": (ALONE, ("train.base_learning_rate=0.05",), W),
    "Train.min_learning_rate": (ALONE, ("train.min_learning_rate=0.003",), W),
    "Train.warmup_fraction": (ALONE, ("train.warmup_fraction=0.8",), W),
    "Train.weight_decay": (ALONE, ("train.weight_decay=5",), W),
    "Train.betas": (ALONE, ("train.betas=[0.5, 0.9]",), W),
    "Train.layer_decay": (ALONE, ("train.layer_decay=0.5",), W),
    "Train.clip_norm": (ALONE, ("train.clip_norm=0.01",), LOG),
    "Train.ema": (ALONE, ("train.ema=0.5",), W),
    "Train.augment": (ALONE, ("train.augment=none",), W),
    "Train.mirror": (ALONE, ("train.mirror=false",), W),
    "Train.self_blend": ((*ALONE, "tasks=[forged]"), ("train.self_blend=forged",), W),
    "SelfBlend.label": (BLENDED, ("tasks={altered: {}}", "train.self_blend=altered"), LOG),
    "SelfBlend.fraction": (BLENDED, ("train.self_blend={label: forged, fraction: 0.9}",), W),
    "Train.mixup": (ALONE, ("train.mixup=0.8",), W),
    "Train.cutmix": (ALONE, ("train.cutmix=1",), W),
    "Train.group": (GROUPS, ("train.group=when",), W),
    "Train.sampling": (ALONE, ("train.sampling=class_balanced",), W),
    "Train.labeled_per_batch": ((*ALONE, "tasks=[posed]"), ("train.labeled_per_batch=0.75",), W),
    "Train.reweight_group": (GROUPS, ("train.reweight_group=true",), W),
    "Train.group_dro": (GROUPS, ("train.group_dro=0.5",), W),
    "Train.threshold_per_group": ((*GROUPS, "tasks=[forged]"), ("train.threshold_per_group=true",), "records"),
    "Train.precision": ((*ALONE, "train.precision=fp32"), ("train.precision=bf16",), W),
    "Train.attention": (ALONE, ("train.attention=plain",), "built"),
    "Train.channels_last": (ALONE, ("train.channels_last=true",), "built"),
    "Train.threads": (ALONE, ("train.threads=2",), "threads"),
    "Train.compile": (ALONE, ("train.compile=true",), "compiled"),
    "Train.checkpoint_activations": (ALONE, ("train.checkpoint_activations=true",), "built"),
    "Train.select_on": (ALONE, ("train.select_on=loss",), LOG),
    "Train.validate_every": (ALONE, ("train.validate_every=2",), LOG),
    "Train.max_seconds": ((*ALONE, "train.epochs=2"), ("train.max_seconds=0.001",), LOG),
    "Train.patience": ((*ALONE, "train.epochs=5", "train.base_learning_rate=1e-9"), ("train.patience=1",), LOG),
    "Train.checkpoint_every": (ALONE, ("train.checkpoint_every=1",), FILES),
    "Train.tensorboard": (ALONE, ("train.tensorboard=true",), FILES),
}  # fmt: skip
