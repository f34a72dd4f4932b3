"""One score of two: the stack's and the linear model's, pooled by weights that validation rows decide.

The two are fitted apart. Trained on top of the linear model's scores the stack learned next to nothing
(docs/notebook.md): what it could learn of easy rows was explained already, and what words leave open is mostly noise.
"""

from collections.abc import Sequence

#: Weights of the stack and of the linear model where validation rows are too few.
EVEN = (0.5, 0.5)


def pooled(deep: Sequence[float], lexical: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the weighed sum of both scores (a logarithmic opinion pool, Genest and Zidek 1986, section 3); the
    stack's alone where the linear model has none."""
    if not lexical:
        return list(deep)
    return [weights[0] * one + weights[1] * other for one, other in zip(deep, lexical, strict=True)]
