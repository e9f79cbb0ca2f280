import torch
from torch import nn

import vaelib

data = vaelib.load("mnist-5k", binarize=True)
torch.manual_seed(0)
encoder = nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 2 * 8))
decoder = nn.Sequential(nn.Linear(8, 256), nn.ReLU(), nn.Linear(256, 784))
optimizer = torch.optim.Adam(nn.ModuleList([encoder, decoder]).parameters(), 2e-3, maximize=True)


def elbo(x):
    mean, log_var = encoder(x).chunk(2, dim=1)
    z = mean + (log_var / 2).exp() * torch.randn_like(mean)
    log_likelihood = torch.distributions.Bernoulli(logits=decoder(z)).log_prob(x.flatten(1)).sum(1)
    kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(1)
    return (log_likelihood - kl).mean()


for rows in torch.randint(len(data), (600, 100)):
    optimizer.zero_grad()
    elbo(torch.bernoulli(data.train[rows] / 255)).backward()
    optimizer.step()

print(f"test ELBO {elbo(data.test / 255):.1f} nats an image")
samples = decoder(torch.randn(24, 8)).sigmoid().view(24, 1, 28, 28)
