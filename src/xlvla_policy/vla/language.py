"""The sentence half of the prefix: Gemma's scaled word embedding. Its blocks are the 'language'
expert.
"""

from __future__ import annotations

import math

from torch import Tensor, nn


class TokenEmbedding(nn.Module):
    """Token ids [B, L] to embeddings [B, L, D], scaled by sqrt(D) as Gemma does; image tokens are
    not scaled.
    """

    def __init__(self, vocabulary: int, dim: int):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocabulary, dim)
        nn.init.normal_(self.embed_tokens.weight, std=dim**-0.5)

    def forward(self, ids: Tensor) -> Tensor:
        scale = math.sqrt(self.embed_tokens.embedding_dim)
        return self.embed_tokens(ids) * scale
