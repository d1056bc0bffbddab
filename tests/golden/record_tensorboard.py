#!/usr/bin/env python3
"""Records tb_events.h: an event file as the real tensorboard package writes it.

    python3 tests/golden/record_tensorboard.py > tests/golden/tb_events.h      (needs tensorboard)
"""
import io

import google.protobuf
import tensorboard
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def scalars(wall_time, step, values):
    value = [Summary.Value(tag=tag, simple_value=x) for tag, x in values]
    return Event(wall_time=wall_time, step=step, summary=Summary(value=value))


class File(io.BytesIO):
    def close(self):  # RecordWriter closes what it is given
        pass


out = File()
writer = RecordWriter(out)
for event in [
    Event(wall_time=1764000000.25, file_version="brain.Event:2"),
    scalars(1764000001.5, 1, [("train/loss", 0.6931471805599453), ("eval/accuracy", float("nan"))]),
    scalars(1764000002.75, 300, [("a" * 200, -1e30), ("b", 0.0), ("wire/up_bytes", 164049600.0)]),
    scalars(0.5, 2**40, [("x", float("inf"))]),
]:
    writer.write(event.SerializeToString())
writer.flush()
data = out.getvalue()
print(f"/* {len(data)} bytes of tensorboard {tensorboard.__version__} with protobuf "
      f"{google.protobuf.__version__}: made by record_tensorboard.py. */")
print("static const unsigned char tb_events[] = {")
for i in range(0, len(data), 16):
    print("    " + ", ".join(f"0x{b:02x}" for b in data[i:i + 16]) + ",")
print("};")
