"""What libraries print for a program: their own lines, as they came out of the library, are read."""

import pytest

from hpc.core.experiment.metric_source import match_line, parse_source
from hpc.core.program.printed import find_printed

KERAS = "import keras\nmodel.compile('adam', 'mse', metrics=['accuracy'])\nmodel.fit(x, y{given})\n"
KERAS_LINE = "7/7 - 0s - 4ms/step - accuracy: 0.3100 - loss: 0.7340 - val_accuracy: 0.3150 - val_loss: 0.7307"
XGBOOST = (
    "import xgboost as xgb\nxgb.train({'eval_metric': ['auc', 'logloss']}, d, 3, evals=[(d, 'train'), (d, 'valid')])\n"
)
XGBOOST_LINE = "[2]\ttrain-auc:1.00000\ttrain-logloss:0.21285\tvalid-auc:0.90000\tvalid-logloss:0.31285"
SKLEARN_WAY = "import xgboost\nb = xgboost.XGBClassifier(eval_metric='logloss')\nb.fit(x, y, eval_set=[(x, y)])\n"
LIGHTGBM = "import lightgbm as lgb\nlgb.train({'metric': 'binary_logloss'}, d, valid_sets=[d])\n"
EVALUATE = "import evaluate\nm = evaluate.load('glue', 'mrpc')\naccelerator.print(f'epoch {e}:', m.compute())\n"
BASELINES = "from stable_baselines3 import PPO\nPPO('MlpPolicy', env, verbose=1).learn(600)\n"


@pytest.mark.parametrize(
    ("source", "line", "name", "goal", "value"),
    [
        (KERAS.format(given=", validation_split=0.2"), KERAS_LINE, "val_loss", "min", 0.7307),
        (KERAS.format(given=""), KERAS_LINE, "loss", "min", 0.7340),
        (XGBOOST, XGBOOST_LINE, "auc", "max", 0.9),
        (SKLEARN_WAY, "[2]\tvalidation_0-logloss:0.21285", "logloss", "min", 0.21285),
        (LIGHTGBM, "[3]\tvalid_0's binary_logloss: 0.45269", "binary_logloss", "min", 0.45269),
        (EVALUATE, "epoch 2: {'accuracy': 0.8431, 'f1': 0.8892}", "accuracy", "max", 0.8431),
        (BASELINES, "|    ep_rew_mean          | 26.9         |", "ep_rew_mean", "max", 26.9),
    ],
)
def test_a_librarys_line_is_read(source: str, line: str, name: str, goal: str, value: float) -> None:
    """The number of the held-out part where there is one, and not the training's beside it."""
    found = find_printed(source)[0]
    reading = match_line(parse_source({"stdout": found.pattern}), line)

    assert (found.name, found.goal) == (name, goal)
    assert reading is not None
    assert reading.values == {name: value}


@pytest.mark.parametrize(
    "source",
    [
        "import keras\nmodel.predict(x)\n",
        "import xgboost\nb = xgboost.XGBClassifier(eval_metric=metric)\nb.fit(x, y)\n",
        "from stable_baselines3 import PPO\nPPO.load(path)\n",
        "from sklearn.svm import SVC\nSVC().fit(x, y)\n",
    ],
)
def test_nothing_is_made_up(source: str) -> None:
    """A library that is imported and trains nothing, or says nothing, prints nothing."""
    assert find_printed(source) == ()


def test_a_steps_number_is_taken_along() -> None:
    """XGBoost and LightGBM print the round before it."""
    reading = match_line(
        parse_source({"stdout": find_printed(LIGHTGBM)[0].pattern}), "[30]\tvalid_0's binary_logloss: 0.4"
    )
    assert reading is not None
    assert reading.step == 30
