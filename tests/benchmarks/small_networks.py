"""Networks that the peers are run on in tests; imported by name in the processes they start."""

from torch import Tensor, nn


def small() -> nn.Module:
    """Convolution with batch norm, a depthwise one, a linear layer: 32 x 32 pixels to 5 logits."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 2, 1),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 16, 3, 1, 1, groups=16),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(64, 5),
    )


class Broken(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2)

    def forward(self, x: Tensor) -> Tensor:
        raise RuntimeError("this network cannot run")
