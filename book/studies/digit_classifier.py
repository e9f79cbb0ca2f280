"""Whether an image of a digit can be read, as three classifiers judge it: for chapters 7 and 8."""

from __future__ import annotations

import torch
from torch import nn

from vaelib.models import as_float


class Judge:
    """Three classifiers of grey digits.

    An image is legible when their mean probability of one digit is above 0.9.
    """

    def __init__(self, grey, epochs: int = 8):
        self.networks = [self._classifier(grey, seed, epochs) for seed in range(3)]

    @staticmethod
    def _classifier(grey, seed: int, epochs: int):
        torch.manual_seed(seed)
        network = nn.Sequential(
            nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, 10)
        )
        optimizer = torch.optim.Adam(network.parameters(), lr=2e-3)
        for _ in range(epochs):
            for batch in torch.randperm(len(grey.train)).split(100):
                loss = nn.functional.cross_entropy(
                    network(as_float(grey.train[batch])), grey.train_labels[batch]
                )
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        return network.eval()

    @torch.no_grad()
    def probabilities(self, images):
        return sum(network(as_float(images)).softmax(1) for network in self.networks) / len(
            self.networks
        )

    def legible(self, images) -> float:
        return (self.probabilities(images).amax(1) > 0.9).double().mean().item()
