from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from imagelab import Experiment, Gaussian, Replace, launch
from imagelab.data.folder import Folder
from imagelab.io.dicom import keyword_of
from imagelab.io.pictures import pages_in, read_picture
from imagelab.io.reading import Reading

pydicom = pytest.importorskip("pydicom")

Write = Callable[..., bytes]
SECRETS = ("Miller^Aurelia", "PAT-0815", "19511224", "St. Elsewhere")
TWELVE = np.arange(256, dtype=np.uint16).reshape(16, 16) * 16
CLIPPED = TWELVE.clip(0, 4095)


@pytest.fixture(scope="module")
def dicom() -> Write:
    """Return the content of a DICOM file with a patient's data in it; settings replace elements."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    def write(values: np.ndarray, **elements: object) -> bytes:
        whole = Dataset()
        whole.file_meta = FileMetaDataset()
        whole.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        whole.file_meta.MediaStorageSOPClassUID = whole.SOPClassUID = SecondaryCaptureImageStorage
        whole.file_meta.MediaStorageSOPInstanceUID = whole.SOPInstanceUID = UID("1.2.3.4")
        whole.PatientName, whole.PatientID, whole.PatientBirthDate, whole.InstitutionName = SECRETS
        whole.Rows, whole.Columns = values.shape[-2:]
        whole.SamplesPerPixel, whole.PhotometricInterpretation = 1, "MONOCHROME2"
        whole.BitsAllocated = values.itemsize * 8
        whole.BitsStored, whole.HighBit = (12, 11) if values.dtype == np.uint16 else (whole.BitsAllocated,) * 2
        whole.PixelRepresentation = int(values.dtype.kind == "i")
        whole.PixelData = values.tobytes()
        if values.ndim == 3:
            whole.NumberOfFrames = len(values)
        for name, value in elements.items():
            setattr(whole, name, value)
        file = io.BytesIO()
        pydicom.dcmwrite(file, whole, enforce_file_format=True)
        return file.getvalue()

    return write


def read(content: bytes, **reading: object) -> np.ndarray:
    return read_picture(io.BytesIO(content), Reading(**reading)).pixels  # type: ignore[arg-type]


def refusal(content: bytes, **reading: object) -> str:
    with pytest.raises(ValueError) as caught:
        read(content, **reading)
    assert not any(secret[:8].lower() in str(caught.value).lower() for secret in SECRETS)
    return str(caught.value)


def test_the_bits_that_are_stored_say_what_is_white(dicom: Write) -> None:
    grey = np.rint(CLIPPED * 255.0 / 4095).astype(np.uint8)
    assert_array_equal(read(dicom(CLIPPED)), np.stack([grey] * 3))
    assert_array_equal(read(dicom(CLIPPED, PhotometricInterpretation="MONOCHROME1"))[0], 255 - grey)
    assert_array_equal(read(dicom(grey))[0], grey)


def test_rescaled_values_need_a_stated_black_and_white_and_the_window_of_the_file_is_only_named(dicom: Write) -> None:
    ct = dicom(CLIPPED, RescaleSlope="2", RescaleIntercept="-1024", WindowCenter="40", WindowWidth="400")
    told = refusal(ct)
    assert "rescaled DICOM values without an agreed white, from -1024 to 7136" in told
    assert told.endswith("The window in this file: black -160, white 240")
    picture = read_picture(io.BytesIO(ct), Reading(black=-1024, white=3071))
    expected = np.rint((CLIPPED * 2.0) * 255.0 / 4095).clip(0, 255)
    assert_array_equal(picture.pixels[0], expected)
    assert picture.cut == np.count_nonzero(CLIPPED * 2.0 > 4095) > 0


def test_frames_are_pages_and_the_first_is_taken(dicom: Write) -> None:
    frames = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 20, 30)])
    content = dicom(frames)
    first = read_picture(io.BytesIO(content))
    assert first.several and (first.pixels == 10).all() and pages_in(io.BytesIO(content)) == 3
    assert (read(content, page=3) == 30).all()
    assert "page 4: the file holds 3" in refusal(content, page=4)


def test_damaged_and_hostile_files_are_refused_in_words_and_nothing_is_printed(
    dicom: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = dicom(CLIPPED)
    cases = {
        "pixels of this DICOM file": whole[:-100],
        "a damaged DICOM file": whole.replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00FL"),
        "RescaleIntercept is no number": dicom(CLIPPED, RescaleSlope="2.000000").replace(b"2.000000", b"Miller^A"),
        "expected MONOCHROME1": whole.replace(b"MONOCHROME2 ", b"miller^aurel"),  # pydicom would quote it in a warning
        "without a picture": dicom(CLIPPED, Rows=0),
        "more than the limit": dicom(CLIPPED, Rows=65535, Columns=65535),
        "are damaged": dicom(CLIPPED, Rows=4000),
        "go through a table": dicom(CLIPPED, PhotometricInterpretation="PALETTE COLOR"),
        "no number that can be used": dicom(CLIPPED, RescaleSlope="0"),
        "deflated as a whole": whole[:200] + b"1.2.840.10008.1.2.1.99" + whole[200:],
    }
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        for words, content in cases.items():
            assert words in refusal(content)
        rng = np.random.default_rng(3)
        for _ in range(60):
            torn = bytearray(whole)
            for place in rng.integers(132, len(torn), 4):
                torn[place] = rng.integers(256)
            try:
                read_picture(io.BytesIO(bytes(torn)))
            except ValueError as error:
                assert not any(secret in str(error) for secret in SECRETS)
    assert not heard and capsys.readouterr() == ("", "")


def test_a_group_is_an_element_that_exists_in_every_file(dicom: Write, tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for number in range(12):
        content = dicom(rng.integers(0, 4096, (16, 16), np.uint16), PatientID=f"{SECRETS[1]}-{number % 6}")
        (tmp_path / f"{number:02d}.dcm").write_bytes(content)
    data = Folder(path=tmp_path, size=16, group="dicom:PatientID", cache=False)
    heldout = {int(name[:2]) % 6 for name in data.load("heldout", data.available(0)["heldout"] or 0, 0).sources}
    train = {int(name[:2]) % 6 for name in data.load("train", data.available(0)["train"] or 0, 0).sources}
    assert heldout.isdisjoint(train) and len(heldout | train) == 6
    assert "6 groups by the rule 'dicom:PatientID', of 2 pictures" in data.card()
    (tmp_path / "99.dcm").write_bytes(dicom(CLIPPED, PatientID=""))
    with pytest.raises(ValueError, match=r"1 of 13 pictures have no group by this rule: '99.dcm'") as caught:
        data.available(0)
    assert SECRETS[1] not in str(caught.value)
    assert keyword_of("(dicom.*)") is None
    with pytest.raises(ValueError, match="expected a keyword of DICOM"):
        Folder(path=tmp_path, group="dicom:Password")


def test_nothing_of_a_patient_is_in_the_run_or_on_the_terminal(
    dicom: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(2)
    (tmp_path / "xrays").mkdir()
    for number in range(24):
        content = dicom(rng.integers(0, 4096, (16, 16), np.uint16), PatientID=f"{SECRETS[1]}-{number % 6}")
        (tmp_path / "xrays" / f"{number:02d}.dcm").write_bytes(content)
    (tmp_path / "xrays" / "torn.dcm").write_bytes(dicom(CLIPPED)[:-50])
    data = Folder(path=tmp_path / "xrays", size=16, channels=1, group="dicom:PatientID")
    experiment = Experiment(
        name="xrays", data=data, regime=Replace(), generator=Gaussian(components=4), generations=1, images=12,
        heldout=8, tracked=4, metrics=("pixel_variance", "tone"),
    )  # fmt: skip
    with pytest.raises(SystemExit) as ended:
        launch(experiment, ["--runtime.runs", str(tmp_path / "runs")])
    assert ended.value.code == 0
    printed = "".join(capsys.readouterr())
    assert "torn.dcm: the pixels of this DICOM file" in printed and "1 channel" in printed
    roots = (tmp_path / "runs", Path(os.environ["IMAGELAB_CACHE"]))
    files = [path for root in roots for path in root.rglob("*") if path.is_file()]
    assert any(path.name == "index.html" for path in files)
    for secret in SECRETS:
        assert secret not in printed
        assert not [path for path in files if secret.encode() in path.read_bytes() or secret in path.name]
