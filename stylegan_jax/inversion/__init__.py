"""From photographs to latents: Image2StyleGAN, its second part, the projector."""
