"""Makes the models and rows of this folder, with the scores that LightGBM itself gives them.

    python3 -m venv venv && venv/bin/pip install lightgbm==4.7.0 numpy==2.4.6
    venv/bin/python make.py

For each kind of model KIND: KIND.txt, the model; KIND.csv, rows (empty is missing) with the raw and the predicted scores, and for some the contributions,
as hexadecimal floats so that not a bit is lost.
"""
import pathlib

import lightgbm as lgb
import numpy as np

HERE = pathlib.Path(__file__).parent
NAMES = ["amount", "count_1d", "mean_7d", "country", "gap"]
QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "seed": 7, "min_data_in_leaf": 5, "num_leaves": 7, "learning_rate": 0.2}


def rows(n, seed, missing=0.15):
    rng = np.random.default_rng(seed)
    x = np.column_stack([
        rng.lognormal(3, 1, n), rng.poisson(3, n).astype(float), rng.normal(0, 10, n), rng.integers(0, 70, n).astype(float), rng.exponential(100, n),
    ])
    x[rng.random((n, len(NAMES))) < missing] = np.nan
    x[rng.random((n, len(NAMES))) < 0.1] = 0.0
    return x


def hard(x):
    """Rows at the edges of every rule: signed zeros, values near kZeroThreshold, infinities, fractions and far numbers as categories."""
    edges = [0.0, -0.0, 1e-35, -1e-35, 1e-36, -1e-36, 1.1e-35, 2e-35, 5e-324, 1e308, -1e308, np.inf, -np.inf, np.nan, -1.0, -0.5, 0.5, 31.0, 32.0, 63.9, 64.0, 2.0**31 - 1, 2.0**31, 2.0**32, 1e300, 3.0]
    out = []
    for column in range(x.shape[1]):
        for e in edges:
            row = x[len(out) % len(x)].copy()
            row[column] = e
            out.append(row)
    out += [np.full(x.shape[1], e) for e in edges]
    return np.array(out)


def target(x, seed):
    rng = np.random.default_rng(seed)
    z = np.nan_to_num(x)
    return 0.03 * z[:, 0] + 0.4 * z[:, 1] + 0.05 * z[:, 2] + np.where(z[:, 3] % 7 < 3, 1.0, -1.0) + rng.normal(0, 0.5, len(x)) - 1.5


def write(name, booster, test, contributions=False):
    booster.save_model(HERE / f"{name}.txt")
    # Reloaded, as a server has it: the text rounds some of what is in memory.
    booster = lgb.Booster(model_file=HERE / f"{name}.txt")
    raw = np.atleast_2d(booster.predict(test, raw_score=True).T).T
    predicted = np.atleast_2d(booster.predict(test).T).T
    columns = [("raw", raw), ("predicted", predicted)]
    if contributions:
        columns.append(("contribution", booster.predict(test, pred_contrib=True)))
    head = booster.feature_name() + [f"{kind}_{i}" for kind, a in columns for i in range(a.shape[1])]
    with open(HERE / f"{name}.csv", "w") as f:
        print(*head, sep=",", file=f)
        for i, row in enumerate(test):
            cells = ["" if np.isnan(v) else float(v).hex() for v in row]
            cells += [float(v).hex() for _, a in columns for v in a[i]]
            print(*cells, sep=",", file=f)


def train(params, x, y, rounds=8, categories=(), names=NAMES, **more):
    data = lgb.Dataset(x, y, feature_name=list(names), categorical_feature=list(categories) or "auto", params={"verbosity": -1, **params})
    return lgb.train({**QUIET, **params}, data, num_boost_round=rounds, **more)


def main():
    x = rows(600, 1)
    y = target(x, 2)
    full = np.nan_to_num(x)
    test = np.vstack([rows(30, 3), hard(rows(40, 4))])
    plain = rows(30, 5)
    label = (y > 0).astype(float)
    classes = np.digitize(y, [-1, 1]).astype(float)
    positive = np.exp(np.clip(y, -5, 3))
    cats = ["country"]

    write("binary", train({"objective": "binary"}, x, label), test, contributions=True)
    write("binary_nomissing", train({"objective": "binary", "use_missing": False}, full, label), test, contributions=True)
    write("binary_zero", train({"objective": "binary", "zero_as_missing": True}, x, label), test, contributions=True)
    write("binary_categorical", train({"objective": "binary", "max_cat_to_onehot": 1, "min_data_per_group": 5, "cat_smooth": 1}, x, label, categories=cats), test, contributions=True)
    write("binary_onehot", train({"objective": "binary", "max_cat_to_onehot": 100, "min_data_per_group": 5, "cat_smooth": 1}, x, label, categories=cats), test)
    write("binary_sigmoid2", train({"objective": "binary", "sigmoid": 2.0, "is_unbalance": True}, x, label), plain)
    write("dart", train({"boosting": "dart", "objective": "binary", "drop_rate": 0.5}, x, label), plain)
    write("goss", train({"data_sample_strategy": "goss", "objective": "binary"}, x, label), plain)
    rf = {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.7}
    write("rf", train({**rf, "objective": "binary"}, x, label), plain, contributions=True)
    write("rf_regression", train({**rf, "objective": "regression"}, x, y), plain)
    write("multiclass", train({"objective": "multiclass", "num_class": 3}, x, classes, rounds=4), plain, contributions=True)
    write("multiclassova", train({"objective": "multiclassova", "num_class": 3, "sigmoid": 1.5}, x, classes, rounds=4), plain)
    write("rf_multiclass", train({**rf, "objective": "multiclass", "num_class": 3}, x, classes, rounds=4), plain)
    write("cross_entropy", train({"objective": "cross_entropy"}, x, 1 / (1 + np.exp(-y))), plain)
    write("cross_entropy_lambda", train({"objective": "cross_entropy_lambda"}, x, 1 / (1 + np.exp(-y))), plain)
    write("regression", train({"objective": "regression"}, x, y), plain)
    write("regression_sqrt", train({"objective": "regression", "reg_sqrt": True}, x, y), plain)
    for name in ["regression_l1", "huber", "fair", "quantile", "mape"]:
        write(name, train({"objective": name}, x, y, rounds=3), plain)
    for name in ["poisson", "gamma", "tweedie"]:
        write(name, train({"objective": name}, x, positive), plain)
    group = lgb.Dataset(x, classes, group=[20] * 30, feature_name=NAMES, params={"verbosity": -1})
    for name in ["lambdarank", "rank_xendcg"]:
        write(name, lgb.train({**QUIET, "objective": name}, group, num_boost_round=3), plain)
    custom = lgb.train({**QUIET, "objective": lambda pred, d: (pred - d.get_label(), np.ones_like(pred))}, lgb.Dataset(x, y, feature_name=NAMES, params={"verbosity": -1}), num_boost_round=3)
    write("custom", custom, plain)
    write("constant", train({"objective": "binary", "min_data_in_leaf": 590}, x, label, rounds=2), plain, contributions=True)
    write("unnamed", lgb.train({**QUIET, "objective": "binary"}, lgb.Dataset(x, label, params={"verbosity": -1}), num_boost_round=2), plain)
    linear = {"linear_tree": True, "num_leaves": 5}
    write("linear", train({**linear, "objective": "regression"}, x, y, rounds=5), test)
    write("linear_binary", train({**linear, "objective": "binary", "boosting": "dart", "drop_rate": 0.5}, full, label, rounds=5), test)
    write("linear_multiclass", train({**linear, "objective": "multiclass", "num_class": 3}, x, classes, rounds=3, categories=cats), plain)


if __name__ == "__main__":
    main()
