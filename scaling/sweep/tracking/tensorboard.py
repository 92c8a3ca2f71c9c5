"""TensorBoard's event files of runs, which other trackers read too.

A run has a folder of event files. They record what was logged of it: a process that goes on reads the last event, and
adds a file. An event holds all values of a step, so that none is there twice and no step is there in part.
"""

import itertools
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import tensorboardX.summary
from tensorboardX.proto.api_pb2 import Status
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData, SessionEndInfo
from tensorboardX.proto.summary_pb2 import Summary, SummaryMetadata
from tensorboardX.record_writer import RecordWriter

_END = "_hparams_/session_end_info"
# Of a record: its length, a checksum of that; after its bytes a checksum of those.
_HEADER, _CHECKSUM = struct.Struct("<QI"), 4


class TensorBoardRun:
    """The event files of one run, in which the step is the number of tokens.

    Args:
        folder: theirs, made if missing.
        hyperparameters: by name, to sort and filter runs by.
        metric: the name of what the runs are compared by.
        config: all of the run's, as text.
    """

    def __init__(self, folder: Path, hyperparameters: Mapping[str, float | str], metric: str, config: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        files = sorted(folder.glob("events.out.tfevents.*"))
        events = [event for file in files if (event := _last_event(file)) is not None]
        self.tokens = max((event.step for event in events), default=0)
        self.ended = any(value.tag == _END for event in events for value in event.summary.value)
        if self.ended:
            return
        names = (folder / f"events.out.tfevents.{number:06d}" for number in itertools.count(len(files)))
        self._writer = RecordWriter(str(next(name for name in names if not name.exists())))
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if not events:
            experiment, session, _ = tensorboardX.summary.hparams(dict(hyperparameters), {metric: 0.0})
            # Markdown shows what is indented as it is.
            text = tensorboardX.summary.text("config", "\n".join(f"    {line}" for line in config.splitlines()))
            self._write(_event(0, *experiment.value, *session.value, *text.value))

    def log(self, tokens: int, values: Mapping[str, float]) -> None:
        """Adds values by name at a number of tokens, which rises from call to call."""
        self._write(_event(tokens, *_scalars(values)))
        self.tokens = tokens

    def end(self, tokens: int, values: Mapping[str, float], well: bool) -> None:
        """Adds the last values, and marks the run as ended, successfully or not; closes the files."""
        status = Status.Value("STATUS_SUCCESS" if well else "STATUS_FAILURE")
        content = HParamsPluginData(session_end_info=SessionEndInfo(status=status), version=0).SerializeToString()
        plugin = SummaryMetadata.PluginData(plugin_name="hparams", content=content)
        end = Summary.Value(tag=_END, metadata=SummaryMetadata(plugin_data=plugin))
        self._write(_event(tokens, *_scalars(values), end))
        self.flush()
        self._writer.close()
        self.ended = True

    def flush(self) -> None:
        """Writes all added values to the disk.

        Raises:
            OSError: there is no room, for example.
        """
        self._writer.flush()

    def _write(self, event: Event) -> None:
        self._writer.write(event.SerializeToString())


def _scalars(values: Mapping[str, float]) -> Iterator[Summary.Value]:
    return (Summary.Value(tag=name, simple_value=value) for name, value in values.items())


def _event(tokens: int, *values: Summary.Value) -> Event:
    return Event(wall_time=time.time(), step=tokens, summary=Summary(value=values))


def _last_event(file: Path) -> Event | None:
    """The last whole event with values of the run; a crash tore whatever follows it."""
    data, at, events = file.read_bytes(), 0, []
    while at + _HEADER.size <= len(data):
        length, _ = _HEADER.unpack_from(data, at)
        begin = at + _HEADER.size
        at = begin + length + _CHECKSUM
        if at <= len(data):
            events.append(data[begin : begin + length])
    last = Event.FromString(events[-1]) if events else None
    return last if last is not None and last.HasField("summary") else None
