"""A linear-chain conditional random field (Lafferty et al. 2001): likelihood and best path.

Shapes: B rows, T places, C tags.
"""

import torch
from torch import Tensor, nn


class Crf(nn.Module):
    """Scores of first, last and neighbouring tags, beside each place's own."""

    def __init__(self, tags: int):
        super().__init__()
        self.first = nn.Parameter(torch.zeros(tags))
        self.last = nn.Parameter(torch.zeros(tags))
        self.moves = nn.Parameter(torch.zeros(tags, tags))

    def path_score(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Return the score of each row's tags, [B]: scores [B, T, C], tags [B, T], lengths [B], each at least 1."""
        inside = torch.arange(scores.shape[1], device=scores.device) < lengths[:, None]
        own = scores.gather(-1, tags[..., None])[..., 0]
        moved = self.moves[tags[:, :-1], tags[:, 1:]]
        ends = tags.gather(1, lengths[:, None] - 1)[:, 0]
        return (own * inside).sum(1) + (moved * inside[:, 1:]).sum(1) + self.first[tags[:, 0]] + self.last[ends]

    def partition(self, scores: Tensor, lengths: Tensor) -> Tensor:
        """Return the logarithm of the sum over all paths of exp(score), [B] (the forward algorithm)."""
        state = self.first + scores[:, 0]
        for place in range(1, scores.shape[1]):
            moved = torch.logsumexp(state[:, :, None] + self.moves, 1) + scores[:, place]
            state = torch.where((place < lengths)[:, None], moved, state)
        return torch.logsumexp(state + self.last, 1)

    def log_likelihood(self, scores: Tensor, tags: Tensor, lengths: Tensor) -> Tensor:
        """Return each row's log-probability of its tags, [B]."""
        return self.path_score(scores, tags, lengths) - self.partition(scores, lengths)

    def best_path(self, scores: Tensor, lengths: Tensor) -> list[list[int]]:
        """Return each row's likeliest tags (Viterbi's algorithm); the lowest tag wins ties."""
        state, before = self.first + scores[:, 0], []
        for place in range(1, scores.shape[1]):
            best, origin = (state[:, :, None] + self.moves).max(1)
            inside = (place < lengths)[:, None]
            state = torch.where(inside, best + scores[:, place], state)
            before.append(origin)
        ends = (state + self.last).argmax(1).tolist()
        paths = []
        for row, (length, tag) in enumerate(zip(lengths.tolist(), ends, strict=True)):
            path = [tag]
            for place in range(length - 2, -1, -1):
                path.append(int(before[place][row, path[-1]]))
            paths.append(path[::-1])
        return paths
