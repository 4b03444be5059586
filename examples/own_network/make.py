"""A network of your own, for want of a real one: torchvision's ResNet-18, trained on phantoms.

Writes into the current folder what `edgeskin import` asks for, and data to try it on:

    data/          phantoms (rendered skin) with manifest.csv
    weights.pth    the state dict of the trained network
    spec.json      what the network eats and says

A minute of training on 96 rendered pictures makes no good model; it is enough to follow the way.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torchvision.models import resnet18

import edgeskin
from edgeskin.data.phantoms import write_set

SIZE = 64
LABELS = ["mild", "moderate", "severe", "very severe"]
SPEC = {
    "name": "own-network",
    "task": "acne",
    "input": {
        "height": SIZE,
        "width": SIZE,
        "resize": "squash",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    },
    "heads": [{"kind": "classification", "name": "severity", "labels": LABELS}],
    "license": "Apache-2.0",
    "intended_use": "An example. Research use; not a medical device.",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    epochs = parser.parse_args().epochs

    write_set(Path("data"), train=96, val=8, test=32, size=96)
    spec = edgeskin.Spec.from_json(json.dumps(SPEC))
    train = edgeskin.load_split("data", "train")
    # The very pixels that the app will see: decoded and resized by the one native core.
    pixels = torch.from_numpy(train.pixels(spec.input)).permute(0, 3, 1, 2)
    x = (pixels / 255 - 0.5) / 0.25
    y = torch.from_numpy(train.truth(spec)["severity"])

    torch.manual_seed(0)
    network = resnet18(num_classes=len(LABELS))
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for epoch in range(epochs):
        for batch in torch.randperm(len(x)).split(16):
            loss = torch.nn.functional.cross_entropy(network(x[batch]), y[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print(f"epoch {epoch + 1} of {epochs}: loss {loss.item():.2f}")
    torch.save(network.state_dict(), "weights.pth")
    Path("spec.json").write_text(json.dumps(SPEC, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
