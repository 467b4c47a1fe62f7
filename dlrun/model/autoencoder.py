"""The course's convolutional autoencoder."""

from __future__ import annotations

from torch import Tensor, nn


class Autoencoder(nn.Module):
    """Five convolutions down to a vector, their mirror image back (000_9560d611d10ac6dd.txt, autoencodeurs).

    Kernels 5, 5, 4 (stride 2), 3 (stride 2), 4 and their transposes take 28x28 to 1x1 and back. With one channel and
    8 latent numbers there are 112,457 parameters.

    Args:
        channels: of the image.
        image_size: its side in pixels, 28.
        latent: size of the code.
        width: channels of the hidden layers.
    """

    def __init__(self, channels: int, image_size: int, latent: int = 8, width: int = 32) -> None:
        if image_size != 28:
            raise ValueError(f"autoencoder takes images of 28x28, not {image_size}x{image_size}")
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, width, 5),
            nn.ReLU(),
            nn.Conv2d(width, width, 5),
            nn.ReLU(),
            nn.Conv2d(width, width, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2),
            nn.ReLU(),
            nn.Conv2d(width, latent, 4),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(latent, width, 4),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 3, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 4, stride=2),
            nn.ReLU(),
            nn.ConvTranspose2d(width, width, 5),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 5),
        )

    def forward(self, images: Tensor) -> Tensor:
        """The reconstruction of images (B, C, 28, 28), in the pixels' own range [0,1]."""
        reconstruction: Tensor = self.decoder(self.encoder(images))
        return reconstruction
