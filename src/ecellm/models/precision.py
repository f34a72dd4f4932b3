"""Linear layers that compute in less than fp32, which makes inference on a CPU faster and answers less exact.

Only linear layers change: what stands between them (norms, attention, the sums of layers) and the output head stay in
fp32, for these cost little time and much exactness: converted whole to bf16, XS was as fast within the noise, and its
probabilities moved three to four times as far (docs/asking.md).
"""

from typing import TYPE_CHECKING, Final, Literal

from ecellm.errors import ModelError

if TYPE_CHECKING:
    from torch import nn

Precision = Literal["fp32", "bf16", "int8"]
FP32: Final = "fp32"


def lower_precision(model: "nn.Module", precision: Precision, keep: "nn.Module | None" = None) -> None:
    """Replace a model's linear layers, all but `keep`, by ones that compute in bf16 or int8.

    Raises ModelError where there are none, as in models whose layers are of a class of their own.
    """
    from torch import nn

    from ecellm.models.low_precision_linear import Bf16Linear, Int8Linear

    lowered = {"bf16": Bf16Linear, "int8": Int8Linear}[precision]
    found = [
        (parent, name, layer)
        for parent in model.modules()
        for name, layer in parent.named_children()
        if type(layer) is nn.Linear and layer is not keep
    ]
    if not found:
        raise ModelError(f"This model has no linear layers that --precision {precision} could change: omit it.")
    for parent, name, layer in found:
        setattr(parent, name, lowered(layer))
