"""One score of two: the stack's and the linear model's, pooled by weights that validation rows decide.

The two are fitted apart. Trained on top of the linear model's scores the stack learned next to nothing
(docs/notebook.md): what it could learn of easy rows was explained already, and what words leave open is mostly noise.
"""

from collections.abc import Sequence

#: The weights of the stack's scores and of the linear model's; of fixed classes an offset for each behind them.
PoolWeights = tuple[float, ...]
#: Where validation rows are too few.
EVEN: PoolWeights = (0.5, 0.5)


def pooled(deep: Sequence[float], lexical: Sequence[float], weights: PoolWeights) -> list[float]:
    """Return the weighed sum of both scores (a logarithmic opinion pool, Genest and Zidek 1986, section 3), with the
    classes' offsets added; the stack's alone where the linear model has none."""
    if not lexical:
        return list(deep)
    first, second, *offsets = weights
    pairs = zip(deep, lexical, offsets or [0.0] * len(deep), strict=True)
    return [first * one + second * other + offset for one, other, offset in pairs]
