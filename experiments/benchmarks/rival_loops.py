"""Two common training loops, and what they draw, for comparison in experiments/benchmarks/generators.py and gpu.py."""

from __future__ import annotations

import importlib
import io
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset


class Prepared(Dataset[Tensor]):
    """Images that pass through the transforms when they are requested, as in diffusers' example."""

    def __init__(self, pictures: list[Any], prepare: Callable[[Any], Tensor]) -> None:
        self.pictures, self.prepare = pictures, prepare

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Tensor:
        return self.prepare(self.pictures[index])


class DiffusersLoop:
    """Diffusers' unconditional training example, rewritten: accelerate, AdamW, cosine rate, average of the weights.

    Its settings are the example's: betas .95 and .999, weight decay 1e-6, 500 steps of warm-up, clipping at 1, EMA with
    inverse gamma 1 and power 3/4. The images are decoded in memory, so that reading files is not timed.

    Args:
        net: a UNet2DModel.
        images: uint8 [N,C,H,W].
        batch: images a step.
        steps: of the whole training, for the learning rate.
        device: "cpu" or "cuda"; on the latter with bfloat16, as the example does where it is told to.
        workers: processes that prepare batches.
    """

    def __init__(
        self, net: Any, images: np.ndarray, batch: int, steps: int = 10_000, device: str = "cpu", workers: int = 0
    ) -> None:
        from accelerate import Accelerator
        from diffusers import DDPMScheduler
        from diffusers.optimization import get_scheduler
        from diffusers.training_utils import EMAModel
        from PIL import Image
        from torchvision import transforms

        side = images.shape[2]
        prepared = transforms.Compose(
            [
                transforms.Resize(side, interpolation=transforms.InterpolationMode.BILINEAR),
                transforms.CenterCrop(side),
                transforms.ToTensor(),
                transforms.Normalize([0.5], [0.5]),
            ]
        )
        pictures = [Image.fromarray(image.transpose(1, 2, 0)) for image in images]
        on_cpu = device == "cpu"
        self.accelerator = Accelerator(cpu=on_cpu, mixed_precision="no" if on_cpu else "bf16")
        ready = Prepared(pictures, prepared)
        loader = DataLoader(
            ready, batch, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
        )
        optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
        rate = get_scheduler("cosine", optimizer=optimiser, num_warmup_steps=500, num_training_steps=steps)
        self.net, self.optimiser, self.loader, self.rate = self.accelerator.prepare(net, optimiser, loader, rate)
        self.average = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
        self.batches = self._batches()

    def _batches(self) -> Iterator[Tensor]:
        while True:
            yield from self.loader

    def advance(self, steps: int) -> None:
        """Take this number of further steps."""
        self.net.train()
        for _, clean in zip(range(steps), self.batches, strict=False):
            noise = torch.randn_like(clean)
            times = torch.randint(0, 1000, (len(clean),), device=clean.device).long()
            noisy = self.noising.add_noise(clean, noise, times)  # pyright: ignore[reportArgumentType]
            with self.accelerator.accumulate(self.net):
                answer = self.net(noisy, times).sample
                loss = nn.functional.mse_loss(answer.float(), noise.float())
                self.accelerator.backward(loss)
                if self.accelerator.sync_gradients:
                    self.accelerator.clip_grad_norm_(self.net.parameters(), 1.0)
                self.optimiser.step()
                self.rate.step()
                self.optimiser.zero_grad()
            self.average.step(self.net.parameters())
            loss.detach().item()


def lucid_trainer(images: np.ndarray, folder: Path, batch: int, steps: int | None = None) -> Any:
    """Return denoising-diffusion-pytorch's own Trainer, which reads image files; its net has .72 M parameters.

    Args:
        images: uint8 [N,C,H,W], 100 or more, as the Trainer demands; written to the folder as PNG.
        folder: an empty folder.
        batch: images a step, 16 or more, as the Trainer demands.
        steps: of the package's DDIM sampler; None for its 1,000 ancestral ones.

    Raises:
        ImportError: if the package is not installed.
    """
    package: Any = importlib.import_module("denoising_diffusion_pytorch")
    from PIL import Image

    for place, image in enumerate(images):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{place}.png")
    net = package.Unet(dim=16, dim_mults=(1, 2, 4), flash_attn=False)
    return package.Trainer(
        package.GaussianDiffusion(net, image_size=images.shape[2], sampling_timesteps=steps),
        str(folder),
        train_batch_size=batch,
        train_num_steps=0,
        save_and_sample_every=10**9,
        calculate_fid=False,
        results_folder=str(folder / "results"),
    )


def advance_lucid(trainer: Any, steps: int) -> None:
    """Take this number of further steps of the package's Trainer."""
    trainer.train_num_steps += steps
    with quiet():
        trainer.train()


def lucid_loop(images: np.ndarray, folder: Path, batch: int) -> tuple[nn.Module, Callable[[int], object]]:
    """Return denoising-diffusion-pytorch's net, and the steps of its own Trainer; see :func:`lucid_trainer`."""
    trainer = lucid_trainer(images, folder, batch)
    return trainer.model.model, lambda steps: advance_lucid(trainer, steps)


def draw_lucid(trainer: Any, count: int, batch: int = 64) -> np.ndarray:
    """Return what the Trainer's averaged weights draw with the package's own sampler, uint8 [count,C,H,W].

    The noise is that of torch's global generator; values are rounded to whole levels.
    """
    average = trainer.ema.ema_model.eval()
    with quiet():
        blocks = [average.sample(batch_size=min(batch, count - start)) for start in range(0, count, batch)]
    return (torch.cat(blocks) * 255).round().clamp(0, 255).to(torch.uint8).cpu().numpy()


@contextmanager
def quiet() -> Iterator[None]:
    """Hide progress bars and final messages of the package."""
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()):
        yield


def at_budgets(advance: Callable[[int], object], budgets: Sequence[float], steps: int = 5) -> Iterator[float]:
    """Train until each budget, in core-seconds of this process, is used up, and yield the seconds used so far.

    What the caller does between two budgets is not counted. ``steps`` are taken between two looks at the clock.
    """
    spent = 0.0
    for budget in budgets:
        start = time.process_time()
        while spent + time.process_time() - start < budget:
            advance(steps)
        spent += time.process_time() - start
        yield spent
