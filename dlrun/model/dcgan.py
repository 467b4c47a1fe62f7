"""A convolutional generator and discriminator."""

from __future__ import annotations

from torch import Tensor, nn


class DCGAN(nn.Module):
    """Transposed convolutions from noise to an image, and convolutions back to one logit (Radford et al. 2015, DCGAN).

    Both halve or double the side twice, between a quarter of the image and the whole. As a network it is its
    discriminator; the generator is a part of it.

    Args:
        channels: of the image.
        image_size: its side in pixels, divisible by 4.
        latent: numbers of the noise.
        width: channels of the finest hidden layers.

    Raises:
        ValueError: the image cannot be halved twice.
    """

    def __init__(self, channels: int, image_size: int, latent: int = 64, width: int = 64) -> None:
        if image_size % 4:
            raise ValueError(f"dcgan halves an image twice; expected dataset.image_size={image_size} divisible by 4")
        super().__init__()
        side, self.latent = image_size // 4, latent
        self.noise_shape: tuple[int, ...] = (latent,)
        self.generator = nn.Sequential(
            nn.Linear(latent, 2 * width * side**2, bias=False),
            nn.Unflatten(1, (2 * width, side, side)),
            nn.BatchNorm2d(2 * width),
            nn.ReLU(),
            nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.ConvTranspose2d(width, channels, 4, stride=2, padding=1),
            nn.Sigmoid(),  # pixels in [0,1], as everywhere outside a model's normalisation
        )
        self.discriminator = nn.Sequential(
            nn.Conv2d(channels, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(2 * width),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            nn.Linear(2 * width * side**2, 1),
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                nn.init.normal_(module.weight, std=0.02)

    def forward(self, images: Tensor) -> Tensor:
        """The discriminator's logit (B, 1) for images (B, C, H, W): positive for real ones."""
        logits: Tensor = self.discriminator(images)
        return logits

    def generate(self, noise: Tensor) -> Tensor:
        """Images, float (B, C, H, W) in [0,1], of noise (B, latent)."""
        images: Tensor = self.generator(noise)
        return images
