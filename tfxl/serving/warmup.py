"""Warm-up: requests that TensorFlow Serving answers while it loads a model, so that the first user does not wait."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import ClassifyLog, PredictionLog, PredictLog

from tfxl.backend import tf
from tfxl.errors import ModelError

FILE = "tf_serving_warmup_requests"
MAX_RECORDS = 1000
"""TensorFlow Serving reads no more."""

Arrays = Mapping[str, np.ndarray]


def predict_record(name: str, signature: str, inputs: Arrays) -> PredictionLog:
    """Returns a record that calls a signature with tensors.

    Args:
        name: The model's name.
        signature: The signature's name.
        inputs: By the names of the signature's inputs.
    """
    request = PredictRequest(inputs={key: tf.make_tensor_proto(value) for key, value in inputs.items()})
    request.model_spec.name, request.model_spec.signature_name = name, signature
    return PredictionLog(predict_log=PredictLog(request=request))


def classify_record(name: str, signature: str, texts: Mapping[str, Sequence[Any]]) -> PredictionLog:
    """Returns a record that calls a signature with `tf.Example`s, one a row of `texts`."""
    request = ClassificationRequest()
    request.model_spec.name, request.model_spec.signature_name = name, signature
    request.input.example_list.examples.extend(
        example(dict(zip(texts, row, strict=True))) for row in zip(*texts.values(), strict=True)
    )
    return PredictionLog(classify_log=ClassifyLog(request=request))


def example(texts: Mapping[str, str | list[str]]) -> tf.train.Example:
    """Returns texts, or lists of texts, by name, as a `tf.Example`."""
    lists = {name: [text] if isinstance(text, str) else text for name, text in texts.items()}
    features = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode() for text in each]))
        for name, each in lists.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def write(path: Path, records: Sequence[PredictionLog]) -> None:
    """Writes the records as TensorFlow Serving reads them.

    Raises:
        ModelError: There are more than `MAX_RECORDS`.
    """
    if len(records) > MAX_RECORDS:
        raise ModelError(
            f"{len(records)} warm-up records",
            expected=f"at most {MAX_RECORDS}, which is all that TensorFlow Serving reads",
            fix="Give fewer sizes in export.warmup_batch_sizes.",
        )
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record.SerializeToString())


def read(path: Path) -> Iterator[PredictionLog]:
    """Yields the records of a file.

    Raises:
        ModelError: The file is damaged, or holds something else.
    """
    try:
        for data in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            yield PredictionLog.FromString(data)
    except (tf.errors.DataLossError, DecodeError) as error:
        raise _wrong(path, str(error).splitlines()[0]) from None


def replay(path: Path, signatures: Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]) -> int:
    """Calls the signatures with every record of a file, as a server will; returns how many there were.

    Args:
        path: The file.
        signatures: The signatures of the loaded SavedModel by name.

    Raises:
        ModelError: A record is damaged, names a signature that is not there, or is refused by it. A server would refuse
            to load the model.
    """
    replayed = 0
    for record in read(path):
        name, inputs = _call(record)
        try:
            signatures[name](**inputs)
        except (KeyError, TypeError, tf.errors.OpError) as error:
            what = f"record {replayed + 1}, for {name!r}: {type(error).__name__}: {error}"
            raise _wrong(path, what[:500]) from None
        replayed += 1
    return replayed


def _call(record: PredictionLog) -> tuple[str, dict[str, Any]]:
    """The signature and the inputs that a server makes of a record."""
    if record.HasField("classify_log"):
        request = record.classify_log.request
        examples = [one.SerializeToString() for one in request.input.example_list.examples]
        return request.model_spec.signature_name, {"inputs": tf.constant(examples, tf.string)}
    request = record.predict_log.request
    inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
    return request.model_spec.signature_name, inputs


def _wrong(path: Path, what: str) -> ModelError:
    return ModelError(
        f"{path}: {what}",
        expected="records of requests that the model answers: with one bad record a server does not load the model",
        fix="Export the model again, or remove the file: it only makes the first answers faster.",
    )
