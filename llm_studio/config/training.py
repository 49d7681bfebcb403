"""How the weights are trained: objective, optimiser, schedule, LoRA, checkpoints and evaluations."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section, unless, when


class Training(Section):
    """The defaults suit LoRA on a pretrained chat model. They are newer than those of H2O LLM Studio: rank 16 with
    alpha 32 instead of 4 with 16 (small ranks learn less than full training), two epochs, a short warm-up and clipped
    gradients (both keep the first batches from doing harm)."""

    epochs: Annotated[int, Field(ge=0, le=1000), Knob(title="Epochs", level="basic", grid=(1, 2, 4))] = 2
    """Passes over the training rows. More learns more and may overfit; 0 only evaluates."""

    learning_rate: Annotated[
        float,
        Field(gt=0, le=1),
        Knob(title="Learning rate", level="basic", log_scale=True, grid=(5e-5, 1e-4, 2e-4, 5e-4)),
    ] = 2e-4
    """Size of the steps. Too high and the loss jumps, too low and it does not move. LoRA likes 1e-4 to 5e-4, full
    training a tenth of that."""

    batch_size: Annotated[
        int, Field(ge=1, le=1024), Knob(title="Batch size", level="basic", unit="rows", grid=(1, 2, 4, 8, 16))
    ] = 4
    """Rows in memory at once. Larger is faster and needs more memory. On a CPU, packed rows are taken in smaller parts
    where that is as fast."""

    grad_accumulation: Annotated[
        int, Field(ge=1, le=1024), Knob(title="Gradient accumulation", level="advanced", grid=(1, 2, 4, 8))
    ] = 1
    """Batches per optimiser step. The rows of a step are batch size times this, without more memory."""

    loss_function: Annotated[
        Literal["TokenAveragedCrossEntropy", "SampleAveragedCrossEntropy"],
        Knob(title="Loss", level="expert"),
    ] = "TokenAveragedCrossEntropy"
    """Cross-entropy averaged over the learned tokens of the whole optimiser step, so that long answers weigh more; or
    within each row first, so that every row weighs the same."""

    optimizer: Annotated[
        Literal[
            "AdamW", "AdamW8bit", "Adam", "SGD", "RMSprop", "Adadelta", "PagedAdamW8bit", "Adafactor", "Lion", "Muon"
        ],
        Knob(title="Optimiser", level="advanced"),
    ] = "AdamW"
    """AdamW suits nearly always. AdamW8bit keeps its state in 8 bits, which saves memory in full fine-tuning; the paged
    one moves it out of a GPU that is full. Lion wants a tenth of the learning rate, Adadelta one near 1."""

    schedule: Annotated[
        Literal["Cosine", "Linear", "Constant", "WarmupStableDecay"],
        Knob(title="Schedule", group="Schedule", level="advanced"),
    ] = "Cosine"
    """How the learning rate falls after the warm-up. "WarmupStableDecay" stays at its peak and falls over the last
    fifth of the steps."""

    min_learning_rate_ratio: Annotated[
        float,
        Field(ge=0, le=1),
        Knob(
            title="Floor of the learning rate",
            group="Schedule",
            level="expert",
            step=0.01,
            visible_when=unless(schedule="Constant"),
        ),
    ] = 0.0
    """The learning rate does not fall below this share of its peak."""

    warmup_epochs: Annotated[
        float, Field(ge=0, le=5), Knob(title="Warm-up", group="Schedule", level="advanced", unit="epochs", step=0.05)
    ] = 0.05
    """The learning rate rises from zero over this part of an epoch; a short rise avoids a bad start."""

    weight_decay: Annotated[float, Field(ge=0, le=1), Knob(title="Weight decay", level="advanced", step=0.01)] = 0.0
    """Pulls weights towards zero; never applied to norms and biases."""

    gradient_clip: Annotated[
        float, Field(ge=0, le=100), Knob(title="Gradient clipping", level="advanced", step=0.1)
    ] = 1.0
    """Longest gradient that a step may follow; keeps one odd batch from doing harm. 0 is off."""

    lora: Annotated[bool, Knob(title="LoRA", group="LoRA", level="basic")] = True
    """Trains small adapter matrices and leaves the backbone as it is: far less memory, nearly the same result. Off
    trains all weights. Source: arXiv:2106.09685."""

    lora_r: Annotated[
        int,
        Field(ge=1, le=1024),
        Knob(title="LoRA rank", group="LoRA", level="advanced", visible_when=when(lora=True), grid=(4, 8, 16, 32)),
    ] = 16
    """Rank of the adapter matrices. A higher rank can learn more and needs more memory."""

    lora_alpha: Annotated[
        int,
        Field(ge=1, le=4096),
        Knob(title="LoRA alpha", group="LoRA", level="advanced", visible_when=when(lora=True), grid=(8, 16, 32, 64)),
    ] = 32
    """Scales the adapter by alpha / rank; twice the rank is usual."""

    lora_dropout: Annotated[
        float,
        Field(ge=0, le=0.9),
        Knob(title="LoRA dropout", group="LoRA", level="advanced", step=0.01, visible_when=when(lora=True)),
    ] = 0.05
    """Drops this share of the adapter's inputs while training; helps against overfitting on small data."""

    use_dora: Annotated[bool, Knob(title="DoRA", group="LoRA", level="expert", visible_when=when(lora=True))] = False
    """Learns direction and size of weights apart: often a little better, clearly slower. Source:
    arXiv:2402.09353."""

    use_rslora: Annotated[bool, Knob(title="rsLoRA", group="LoRA", level="expert", visible_when=when(lora=True))] = (
        False
    )
    """Scales by alpha / sqrt(rank), which keeps high ranks stable. Source: arXiv:2312.03732."""

    lora_target_modules: Annotated[
        str, Knob(title="LoRA target modules", group="LoRA", level="expert", visible_when=when(lora=True))
    ] = ""
    """Names of the layers that get adapters, separated by commas. Empty takes every linear layer but the head."""

    init_lora_weights: Annotated[
        Literal["default", "pissa", "loftq"],
        Knob(title="Start of the adapter", group="LoRA", level="expert", visible_when=when(lora=True)),
    ] = "default"
    """What the adapter starts from: zero effect, the main directions of the backbone's weights (PiSSA, learns faster;
    not with int8 or int4), or what 4 bits lost (LoftQ, with int4 only). Sources: arXiv:2404.02948, arXiv:2310.08659."""

    lora_unfreeze_layers: Annotated[
        tuple[str, ...],
        Knob(title="Layers trained in full", group="LoRA", level="expert", visible_when=when(lora=True)),
    ] = ()
    """Layers whose name contains one of these texts are trained in full beside the adapter, for instance embed, head
    or norm. They are saved with it."""

    freeze_layers: Annotated[
        tuple[str, ...], Knob(title="Frozen layers", level="expert", visible_when=when(lora=False))
    ] = ()
    """Weights whose name contains one of these texts are not trained, for instance embed or layers.0."""

    differential_learning_rate_layers: Annotated[
        tuple[str, ...],
        Knob(title="Layers with their own rate", group="Schedule", level="expert"),
    ] = ()
    """Trained weights whose name contains one of these texts get the learning rate below, for instance embed or
    lora_B."""

    differential_learning_rate: Annotated[
        float,
        Field(gt=0, le=1),
        Knob(
            title="Their learning rate",
            group="Schedule",
            level="expert",
            log_scale=True,
            visible_when=unless(differential_learning_rate_layers=()),
        ),
    ] = 1e-5
    """Learning rate of the layers above; it rises and falls as the other one does."""

    packing: Annotated[Literal["auto", "always", "never"], Knob(title="Pack rows together", level="expert")] = "auto"
    """Puts the rows of a batch behind each other, each blind to the others, so that no time goes into padding. The
    result is the same. "auto" packs where the backbone allows it, which is tried before the start; "always" refuses to
    start where it does not."""

    attention_implementation: Annotated[
        Literal["auto", "sdpa", "eager", "flash_attention_2"], Knob(title="Attention", level="expert")
    ] = "auto"
    """The code that computes attention. "auto" takes what the backbone prefers; flash_attention_2 needs its package
    and a GPU. In training it is for padded rows alone: packed ones are kept apart by code of the studio's own."""

    kernels: Annotated[Literal["auto", "never"], Knob(title="Fused kernels", level="expert")] = "auto"
    """On a GPU, "auto" computes norms, rotary positions and feed-forward layers with the kernels of liger-kernel, where
    that package is installed, knows the backbone, and a trial gives the same numbers. "never" leaves the backbone its
    own code, as does a CPU."""

    evaluation_epochs: Annotated[
        float,
        Field(ge=0.01, le=1000),
        Knob(title="Evaluate every", group="Evaluation", level="advanced", unit="epochs", step=0.25),
    ] = 0.5
    """How often the validation rows are scored. The end is always scored."""

    evaluate_before_training: Annotated[
        bool, Knob(title="Score the untouched backbone", group="Evaluation", level="advanced")
    ] = True
    """Scores the backbone before training on the same rows, so that you see what tuning changed."""

    save_checkpoint: Annotated[
        Literal["best_and_last", "last", "each_evaluation_epoch"],
        Knob(title="Checkpoints", group="Evaluation", level="advanced"),
    ] = "best_and_last"
    """The last state is always kept, so that nothing trained is lost; the best one by the metric too unless you
    choose "last". "each_evaluation_epoch" keeps the one of every evaluation as well, which takes disk space."""

    checkpoint_minutes: Annotated[
        float,
        Field(ge=0, le=1440),
        Knob(title="Save state every", group="Evaluation", level="advanced", unit="minutes", step=1),
    ] = 10.0
    """How often the state is written from which the experiment goes on after a crash, beside each evaluation. What
    is lost at most is this much time. 0 writes it at evaluations only."""

    train_validation_data: Annotated[
        bool, Knob(title="Train on validation rows too", group="Evaluation", level="expert")
    ] = False
    """Adds the validation rows to the training rows. Scores are then too good to be trusted."""

    early_stopping_patience: Annotated[
        int,
        Field(ge=0, le=1000),
        Knob(title="Stop early after", group="Evaluation", level="expert", unit="evaluations"),
    ] = 0
    """Ends the experiment when the metric for the best checkpoint has not improved for this many evaluations. 0 never
    ends it early."""
