"""What TensorBoard is given, read back from the event files."""

from __future__ import annotations

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from tests.training.test_fit import FakeBatches, run
from tfxl.backend import tf
from tfxl.example import Example
from tfxl.training.callbacks import Every, text_samples


class Shown(FakeBatches):
    """Batches with rows to show."""

    class Rows(list):
        def __getitem__(self, indices):
            return [list.__getitem__(self, index) for index in indices]

    rows = Rows(
        [Example("这家酒店\n很吵|真的", label="bad", language="zh"), Example("ok", label="good", language="en")]
    )


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    folder = tmp_path_factory.mktemp("logs")
    scores = iter([{"de": 0.5, "zh": 0.25}, {"de": 0.75, "zh": 0.5}])
    settings = {"epochs": 2, "log_every": 2}
    run(batches=Shown(), settings=settings, directory=folder, score=lambda: next(scores))
    (file,) = folder.rglob("events.out.tfevents.*")
    return EventAccumulator(str(file), size_guidance={"tensors": 0}).Reload()


def scalars(events, name):
    return [(event.step, float(tf.make_ndarray(event.tensor_proto))) for event in events.Tensors(name)]


def test_scores_by_language_at_each_epoch(events):
    assert scalars(events, "validation/de") == [(0, 0.5), (1, 0.75)]
    assert scalars(events, "validation/zh") == [(0, 0.25), (1, 0.5)]
    assert scalars(events, "validation/worst") == [(0, 0.25), (1, 0.5)]
    assert scalars(events, "validation/mean") == [(0, 0.375), (1, 0.625)]


def test_loss_rate_and_speed_by_update(events):
    assert [step for step, _ in scalars(events, "train/loss")] == [1, 3, 5, 7, 9, 11]
    # Of the update that was just made; the first of twelve warms up.
    rates = [rate for _, rate in scalars(events, "train/learning_rate")]
    assert rates == pytest.approx([0.0, *(0.05 * (12 - update) / 11 for update in (2, 4, 6, 8, 10))], rel=1e-5)
    speeds = scalars(events, "train/tokens_per_second")
    assert len(speeds) == 4  # none at the first look of an epoch
    assert all(speed > 0 for _, speed in speeds)


def test_what_an_epoch_came_to(events):
    for name in ("epoch/loss", "epoch/learning_rate", "epoch/tokens_per_second"):
        assert [step for step, _ in scalars(events, name)] == [0, 1]


def test_training_rows_are_shown(events):
    (event,) = events.Tensors("training rows")
    text = tf.make_ndarray(event.tensor_proto).item().decode()
    assert "| zh | 这家酒店 很吵\\|真的 | bad |" in text
    assert "| en | ok | good |" in text


def test_settings_are_hyperparameters(events):
    metadata = events.SummaryMetadata("_hparams_/session_start_info")
    data = plugin_data_pb2.HParamsPluginData.FromString(metadata.plugin_data.content)
    values = data.session_start_info.hparams
    assert values["learning_rate"].number_value == 0.05
    assert values["precision"].string_value == "float32"
    assert values["log_every"].number_value == 2


def test_data_without_rows_show_none():
    assert text_samples(FakeBatches()) == ""


def test_looks_start_anew_in_each_epoch():
    every = Every(3)
    assert [batch for batch in range(8) if every.due(batch)] == [0, 3, 6]
    assert [batch for batch in range(8) if every.due(batch)] == [0, 3, 6]


def test_looks_when_a_call_stands_for_several_steps():
    every = Every(3)
    assert [batch for batch in (3, 7, 11) if every.due(batch)] == [3, 7, 11]
