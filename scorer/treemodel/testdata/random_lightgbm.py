"""Trains random LightGBM models and scores hostile rows with them, for TestRandomModelsAreLightGBMs: the kinds of model that make.py has, mixed anyhow.

    python random_lightgbm.py FOLDER SEED COUNT

For each model: N.txt, the model; N.f64, a head of four numbers (rows, features, scores a row, 0) and then the rows, the raw and the predicted scores, as doubles.
"""
import pathlib
import sys

import lightgbm as lgb
import numpy as np

EDGES = [0.0, -0.0, 1e-35, -1e-35, 1e-36, -1e-36, 1.0000000180025095e-35, -1.0000000180025095e-35, 1.1e-35, 5e-324, -5e-324, 1e308, -1e308, np.inf, -np.inf, np.nan, -1.0, -0.999,
         -0.5, 0.5, 1.5, 31.0, 32.0, 63.9, 64.0, 1e6, 2.0**31 - 1, 2.0**31, 2.0**32, 1e300, 3.4e38, 16777216.0]
OBJECTIVES = ["binary", "cross_entropy", "cross_entropy_lambda", "multiclass", "multiclassova", "regression", "regression_l1", "huber", "fair", "quantile", "mape", "poisson", "gamma",
              "tweedie", "lambdarank", "rank_xendcg"]


def columns(rng, n, kinds, cardinality):
    """Values of one column a kind; what is missing is missing in a part of the columns only."""
    make = [
        lambda: rng.lognormal(3, 2, n),
        lambda: rng.normal(0, 10, n),
        lambda: rng.poisson(2, n).astype(float),
        lambda: rng.choice([0.0, 0.0, 1e-36, -1e-36, 1.0, -1.0], n),
        lambda: np.round(rng.normal(0, 1, n), 1),
        lambda: rng.normal(0, 1, n) * 10.0 ** rng.integers(-40, 38, n),
        lambda: rng.integers(0, cardinality, n).astype(float),
    ]
    x = np.column_stack([make[k]() for k in kinds])
    for c in range(len(kinds)):
        if rng.random() < 0.5:
            x[rng.random(n) < rng.choice([0.02, 0.3]), c] = np.nan
        if rng.random() < 0.3:
            x[rng.random(n) < 0.3, c] = 0.0
    return x


def hostile(rng, x, thresholds):
    """Rows of the data with values put to edges, to the model's own thresholds and to their neighbours."""
    out = x[rng.integers(0, len(x), 400)].copy()
    for row in out[100:]:
        for c in rng.integers(0, x.shape[1], rng.integers(1, x.shape[1] + 1)):
            near = thresholds.get(c, EDGES)
            row[c] = [rng.choice(EDGES), rng.choice(near), np.nextafter(rng.choice(near), np.inf), np.nextafter(rng.choice(near), -np.inf)][rng.integers(0, 4)]
    return np.vstack([out] + [np.full(x.shape[1], e) for e in EDGES])


def thresholds(booster):
    """Of each feature, the thresholds of its splits on numbers."""
    found = {}

    def visit(node):
        if "split_feature" in node:
            if node["decision_type"] == "<=":
                found.setdefault(node["split_feature"], []).append(float(node["threshold"]))
            visit(node["left_child"])
            visit(node["right_child"])

    for tree in booster.dump_model()["tree_info"]:
        visit(tree["tree_structure"])
    return found


def model(rng):
    n = int(rng.choice([300, 1500]))
    kinds = rng.integers(0, 7, rng.integers(1, 12))
    x = columns(rng, n, kinds, int(rng.choice([3, 40, 300, 100000])))
    z = np.clip(np.nan_to_num(x), -1e3, 1e3)
    y = z @ rng.normal(0, 1, len(kinds)) / 100 + (z[:, 0] % 3 < 1) + rng.normal(0, 0.3, n)
    objective = str(rng.choice(OBJECTIVES))
    params = {
        "objective": objective, "verbosity": -1, "num_threads": 1, "seed": int(rng.integers(1 << 30)), "learning_rate": float(rng.choice([0.05, 0.3, 1.0])),
        "num_leaves": int(rng.choice([2, 3, 7, 16, 31, 64, 65, 127, 255])), "min_data_in_leaf": int(rng.choice([1, 5, 20])), "max_bin": int(rng.choice([3, 15, 63, 255, 1023])),
        "min_data_in_bin": 1, "zero_as_missing": bool(rng.random() < 0.25), "use_missing": bool(rng.random() < 0.8), "extra_trees": bool(rng.random() < 0.3),
        "max_cat_to_onehot": int(rng.choice([1, 4, 64])), "min_data_per_group": int(rng.choice([1, 50])), "cat_smooth": 1.0, "boost_from_average": bool(rng.random() < 0.7),
    }
    params["data_sample_strategy"] = str(rng.choice(["bagging", "goss"]))
    params["boosting"] = str(rng.choice(["gbdt", "gbdt", "dart", "rf"]))
    if params["boosting"] == "rf":
        params |= {"bagging_freq": 1, "bagging_fraction": 0.6, "data_sample_strategy": "bagging"}
    if params["boosting"] == "dart":
        params |= {"drop_rate": 0.5, "xgboost_dart_mode": bool(rng.random() < 0.5)}
    if rng.random() < 0.3 and not params["zero_as_missing"] and objective != "regression_l1":
        params["linear_tree"] = True
    if objective in ("binary", "multiclassova"):
        params["sigmoid"] = float(rng.choice([1.0, 0.7, 2.0]))
    group = None
    if objective.startswith(("multiclass", "rank", "lambda")):
        y = np.digitize(y, np.quantile(y, [0.4, 0.8])).astype(float)
        if objective.startswith("multiclass"):
            params["num_class"] = 3
        else:
            group = [20] * (n // 20)
    elif objective == "binary":
        y = (y > np.median(y)).astype(float)
    elif objective.startswith("cross"):
        y = 1 / (1 + np.exp(-y))
    elif objective in ("poisson", "gamma", "tweedie"):
        y = np.exp(np.clip(y, -3, 3))
    elif objective == "regression" and rng.random() < 0.4:
        params["reg_sqrt"] = True
    categories = [int(c) for c in np.flatnonzero(kinds == 6) if rng.random() < 0.8]
    data = lgb.Dataset(x, y, group=group, categorical_feature=categories, params=params)
    return lgb.train(params, data, num_boost_round=int(rng.choice([1, 3, 12, 40]))), x


def main(folder, seed, count):
    rng = np.random.default_rng(seed)
    made = refused = 0
    while made < count:
        try:
            booster, x = model(rng)
        except lgb.basic.LightGBMError as e:  # a mix that LightGBM does not train
            refused += 1
            if refused > count:
                raise
            print(f"not trained: {e}", file=sys.stderr)
            continue
        path = folder / f"{made}.txt"
        booster.save_model(path, num_iteration=-1)
        test = hostile(rng, x, thresholds(booster))
        booster = lgb.Booster(model_file=path)
        raw = booster.predict(test, raw_score=True, num_threads=1)
        predicted = booster.predict(test, num_threads=1)
        head = np.array([len(test), test.shape[1], raw.size // len(test), 0], dtype=float)
        np.concatenate([head, test.ravel(), raw.ravel(), predicted.ravel()]).astype("<f8").tofile(folder / f"{made}.f64")
        made += 1


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
