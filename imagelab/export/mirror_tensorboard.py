"""A mirror in TensorBoard: event files, written without torch and without TensorFlow.

    DIR/[STUDY/]RUN/                       the settings as hyperparameters, and as text
    DIR/[STUDY/]RUN/SERIES/                one series: TensorBoard draws those of one measurement into one chart
        events.out.tfevents.gen-003        what one shard adds to it

Each file is written under a temporary name and renamed, and a file that exists is not written again. So a mirror that
was killed goes on where it was, and nothing is there twice. TensorBoard reads the files of a folder in the order of
their names, which is that of the generations.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..io.atomic import written_whole
from .mirrored import MirroredRun, MirroredShard, MirrorState, how_to_install

__all__ = ["mirror_to_tensorboard"]

PREFIX = "events.out.tfevents."
STEP_OF_TEXT = 0


def mirror_to_tensorboard(folder: Path, run: MirroredRun, shards: Sequence[MirroredShard], state: MirrorState) -> int:
    """Write what is not there yet; return how many shards were written.

    Args:
        folder: the log folder of TensorBoard.
        run: the run.
        shards: its finished shards.
        state: not used; TensorBoard knows no state.

    Raises:
        ValueError: if the package tensorboard is missing.
    """
    try:
        events = _Events()
    except ImportError as error:
        raise ValueError(how_to_install("tensorboard")) from error
    home = folder / run.group / run.name
    home.mkdir(parents=True, exist_ok=True)
    if shards and not (home / f"{PREFIX}settings").exists():
        events.write(home / f"{PREFIX}settings", shards[0].time, [(STEP_OF_TEXT, events.settings(run))])
    return sum(_write_shard(events, home, shard) for shard in shards)


def _write_shard(events: _Events, home: Path, shard: MirroredShard) -> bool:
    """Write the event files of a shard, that of its own line last, so that it says whether all are there."""
    last = home / shard.series / f"{PREFIX}{shard.name}"
    if last.exists():
        return False
    found: dict[str, list[tuple[int, Any]]] = {shard.series: []}
    for value in shard.values():
        found.setdefault(value.series, []).append((value.step, events.scalar(value.name, value.value)))
    for strip in shard.strips():
        found[shard.series].append((strip.step, events.picture(strip.name, strip.png, strip.width, strip.height)))
    for series, summaries in [
        *((s, e) for s, e in found.items() if s != shard.series),
        (shard.series, found[shard.series]),
    ]:
        path = home / series / f"{PREFIX}{shard.name}"
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            events.write(path, shard.time, summaries)
    return True


class _Events:
    """The messages of TensorBoard that are needed, and the file that holds them."""

    def __init__(self) -> None:
        proto = "tensorboard.compat.proto"
        self._event = importlib.import_module(f"{proto}.event_pb2").Event
        self._summary = importlib.import_module(f"{proto}.summary_pb2")
        self._records = importlib.import_module("tensorboard.summary.writer.record_writer").RecordWriter

    def scalar(self, name: str, value: float) -> Any:
        return self._summary.Summary.Value(tag=name, simple_value=value)

    def picture(self, name: str, png: bytes, width: int, height: int) -> Any:
        image = self._summary.Summary.Image(encoded_image_string=png, width=width, height=height, colorspace=3)
        return self._summary.Summary.Value(tag=name, image=image)

    def settings(self, run: MirroredRun) -> Any:
        """The settings as hyperparameters, for the table of that name."""
        plugin = importlib.import_module("tensorboard.plugins.hparams.plugin_data_pb2")
        start = plugin.SessionStartInfo(group_name=run.name)
        for name, value in {**run.settings, **run.tags}.items():
            kind = (
                "bool_value"
                if isinstance(value, bool)
                else "string_value"
                if isinstance(value, str)
                else "number_value"
            )
            setattr(start.hparams[name], kind, value)
        content = plugin.HParamsPluginData(session_start_info=start, version=0).SerializeToString()
        return self._plugin("_hparams_/session_start_info", "hparams", content)

    def _plugin(self, tag: str, name: str, content: bytes) -> Any:
        data = self._summary.SummaryMetadata.PluginData(plugin_name=name, content=content)
        return self._summary.Summary.Value(tag=tag, metadata=self._summary.SummaryMetadata(plugin_data=data))

    def write(self, path: Path, time: float, summaries: Sequence[tuple[int, Any]]) -> None:
        """Write a whole event file: its version, then (step, summary) in this order."""
        with written_whole(path) as partial, partial.open("wb") as file:
            records = self._records(file)
            records.write(self._event(wall_time=time, file_version="brain.Event:2").SerializeToString())
            for step, value in summaries:
                summary = self._summary.Summary(value=[value])
                records.write(self._event(wall_time=time, step=step, summary=summary).SerializeToString())
