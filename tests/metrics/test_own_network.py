from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from imagelab.cli import main
from imagelab.evaluation.evaluate import measure
from imagelab.metrics import METRICS, Evidence, ImageSet
from imagelab.metrics.features import SPACES, features
from imagelab.metrics.frechet import frechet_distance
from imagelab.metrics.own_network import NETWORK, network_metric

Write = Callable[..., Path]
WEIGHT = np.random.default_rng(5).normal(size=(4, 3, 3, 3)).astype(np.float32)
STATED = {"size": 16, "mean": [0.5, 0.4, 0.3], "std": [0.5, 0.25, 0.2]}


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    before = set(SPACES)
    yield
    METRICS._added.pop(NETWORK, None)
    for name in set(SPACES) - before:
        del SPACES[name]


@pytest.fixture(scope="module")
def pictures() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    made = rng.normal(100, 60, (60, 3, 1, 1)) + rng.normal(0, 30, (60, 3, 24, 24))
    both = made.clip(0, 255).astype(np.uint8)
    return both[:30], both[30:] // 2


class Convolution(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.from_numpy(WEIGHT))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(images, self.weight, stride=2)


def convolved(images: np.ndarray) -> np.ndarray:
    """The features by another route: the preprocessing as the module describes it, and a mean over positions."""
    small = functional.interpolate(
        torch.from_numpy(images).float(), (16, 16), mode="bicubic", antialias=True, align_corners=False
    ).clamp(0, 255)
    mean, std = (torch.tensor(STATED[key]).reshape(1, 3, 1, 1) for key in ("mean", "std"))
    return Convolution()((small / 255 - mean) / std).mean(dim=(2, 3)).detach().numpy()


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Write a network of a kind and its description; returns the description."""

    def written(kind: str, **changes: object) -> Path:
        file = tmp_path / f"encoder.{kind}"
        if kind == "pt":
            torch.jit.save(torch.jit.trace(Convolution(), torch.zeros(2, 3, 16, 16)), str(file))
        elif kind == "pt2":
            batch = {"images": {0: torch.export.Dim("batch", min=2)}}
            program = torch.export.export(Convolution(), (torch.zeros(4, 3, 16, 16),), dynamic_shapes=batch)
            torch.export.save(program, str(file))
        elif kind == "onnx":
            file.write_bytes(onnx_model())
        else:
            file.write_text(
                "import numpy as np\nimport torch\n"
                f"weight = torch.tensor(np.array({WEIGHT.tolist()}, np.float32))\n"
                "def convolution(images, device):\n"
                "    return torch.nn.functional.conv2d(images, weight, stride=2).mean((2, 3))\n"
                "def flat(images, device):\n    return images.mean()\n"
            )
        place = f"{file.name}:convolution" if kind == "py" else file.name
        path = tmp_path / f"{kind}.json"
        path.write_text(json.dumps({"network": place, "name": f"mine-{kind}", **STATED, **changes}))
        return path

    return written


def onnx_model(batch: str | int = "batch") -> bytes:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed: the extra onnx")
    helper = onnx.helper
    node = helper.make_node("Conv", ["images", "weight"], ["features"], strides=[2, 2])
    graph = helper.make_graph(
        [node],
        "encoder",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [batch, 3, 16, 16])],
        [helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, [batch, 4, 7, 7])],
        [onnx.numpy_helper.from_array(WEIGHT, "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


@pytest.mark.parametrize("kind", ["onnx", "pt", "pt2", "py"])
def test_a_network_of_every_form_gives_the_same_features_by_the_stated_preprocessing(
    write: Write, pictures: tuple[np.ndarray, np.ndarray], kind: str
):
    network_metric([write(kind)])
    found = features(ImageSet(pictures[0]), f"mine-{kind}")
    np.testing.assert_allclose(found, convolved(pictures[0]), rtol=1e-4, atol=1e-5)


def test_the_command_measures_by_a_network_and_records_its_digest_and_resampling(
    write: Write, pictures: tuple[np.ndarray, np.ndarray], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    for name, images in zip(("real", "fake"), pictures, strict=True):
        np.save(tmp_path / f"{name}.npy", images)
    with pytest.raises(SystemExit, match=r"^0$"):
        given = [str(tmp_path / name) for name in ("real.npy", "fake.npy")]
        main(["measure", *given, "--metrics", "tone", "--json", "--network", str(write("onnx")), "--no-cache"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["measurements"]}
    names = {f"{stem}/mine-onnx" for stem in METRICS[NETWORK].gives}
    assert names <= rows.keys()
    ours = rows["fd_network/mine-onnx"]
    expected = frechet_distance(*(convolved(each) for each in pictures))
    assert ours["value"] == pytest.approx(expected, rel=1e-3)
    assert ours["resize"] == "bicubic to 16 px, antialias" and ours["feature_space"] == SPACES["mine-onnx"].label


def test_the_digest_changes_with_the_weights_and_with_each_stated_step(write: Write, tmp_path: Path):
    def digest(**changes: object) -> str:
        path = write("py", **changes)
        SPACES.pop("mine-py", None)
        network_metric([path])
        return SPACES["mine-py"].digest()

    changes: list[dict[str, object]] = [{}, {"size": 8}, {"resize": "bilinear"}, {"mean": [0.5, 0.4, 0.2]}]
    changes += [{"std": [0.5, 0.25, 0.1]}, {"standardise": True}, {"network": "encoder.py:flat"}]
    found = [digest(**each) for each in changes]
    assert len(set(found)) == len(changes)
    assert digest() == found[0]


def test_features_are_measured_in_the_spread_of_the_real_ones_where_it_is_asked_for(
    write: Write, pictures: tuple[np.ndarray, np.ndarray]
):
    row = network_metric([write("py", standardise=True)])
    evidence = Evidence(ImageSet(pictures[0]), ImageSet(pictures[1]))
    assert "standardised by the reference" in row.measure(evidence)[0].estimator


def test_grey_images_and_grey_networks_meet(write: Write, tmp_path: Path, pictures: tuple[np.ndarray, np.ndarray]):
    network_metric([write("py")])
    grey = pictures[0][:, :1]
    np.testing.assert_array_equal(
        features(ImageSet(grey), "mine-py"), features(ImageSet(np.repeat(grey, 3, 1)), "mine-py")
    )
    (tmp_path / "one.py").write_text("def mean(images, device):\n    return images.mean((2, 3))\n")
    (tmp_path / "one.json").write_text(json.dumps({"network": "one.py:mean", "channels": 1}))
    network_metric([tmp_path / "one.json"])
    luma = pictures[0].mean((2, 3)) @ np.array([0.299, 0.587, 0.114]) / 255
    np.testing.assert_allclose(features(ImageSet(pictures[0]), "one")[:, 0], luma, rtol=1e-4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "Expected a description of a network"),
        ('{"size": 8}', "network: Field required"),
        ('{"network": "a.onnx", "colour": 3}', "colour: Extra inputs"),
        ('{"network": "a.safetensors"}', "expected a file that ends in .onnx"),
        ('{"network": "a.onnx", "mean": [0.5, 0.5]}', "mean: expected 1 or 3 numbers, got 2"),
        ('{"network": "a.onnx", "std": [0]}', "std.0"),
        ('{"network": "missing.onnx"}', "missing.onnx"),
    ],
)
def test_a_bad_description_is_refused_in_words(tmp_path: Path, content: str, words: str):
    for name in ("a.onnx", "a.safetensors"):
        (tmp_path / name).write_bytes(b"not a network")
    (tmp_path / "a.json").write_text(content)
    with pytest.raises((ValueError, OSError), match=words.replace(".", r"\.")):
        network_metric([tmp_path / "a.json"])


@pytest.mark.parametrize(
    ("kind", "words"), [("onnx", "in one file"), ("pt", "torch.jit.save"), ("pt2", "torch.export")]
)
def test_a_file_that_is_no_network_is_refused_in_words(
    write: Write, pictures: tuple[np.ndarray, np.ndarray], kind: str, words: str
):
    path = write(kind)
    (path.parent / f"encoder.{kind}").write_bytes(b"not a network")
    network_metric([path])
    with pytest.raises(ValueError, match=words):
        features(ImageSet(pictures[0]), f"mine-{kind}")


def test_a_network_with_another_input_or_output_is_refused_in_words(
    write: Write, pictures: tuple[np.ndarray, np.ndarray]
):
    network_metric([write("onnx", size=20)])
    with pytest.raises(ValueError, match=r"its input images expects .*Correct size and channels"):
        features(ImageSet(pictures[0]), "mine-onnx")
    SPACES.pop("mine-py", None)
    network_metric([write("py", network="encoder.py:flat")])
    with pytest.raises(ValueError, match=r"network mine-py: expected features \[16,D\]"):
        features(ImageSet(pictures[0]), "mine-py")
    SPACES.pop("mine-py", None)
    network_metric([write("py", network="encoder.py:nothing")])
    with pytest.raises(ValueError, match=r"expected a function nothing\(images, device\)"):
        features(ImageSet(pictures[0]), "mine-py")


def test_a_network_that_changes_after_it_was_opened_is_refused(write: Write, pictures: tuple[np.ndarray, np.ndarray]):
    path = write("py")
    network_metric([path])
    (path.parent / "encoder.py").write_text("def convolution(images, device):\n    return images.mean((2, 3))\n")
    with pytest.raises(ValueError, match="was changed after it was opened"):
        features(ImageSet(pictures[0]), "mine-py")


def test_names_of_networks_are_their_own(write: Write):
    with pytest.raises(ValueError, match="two networks are called mine-py"):
        network_metric([write("py"), write("py")])
    with pytest.raises(ValueError, match="there is another feature space called randconv-s0"):
        network_metric([write("py", name="randconv-s0")])


def test_no_network_is_measured_that_was_not_given(write: Write, pictures: tuple[np.ndarray, np.ndarray]):
    measure(*pictures, metrics=["tone"], networks=[write("py")], cache=False)
    assert not [m.name for m in measure(*pictures, metrics=["tone"], cache=False) if "network" in m.name]
