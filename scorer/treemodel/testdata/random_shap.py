"""Trains random models with LightGBM and XGBoost, and writes what they contribute, for TestRandomModelsContributeAsInTheirLibraries.

    python random_shap.py FOLDER SEED COUNT
    python random_shap.py vector FOLDER         makes vector.json there, whose leaves are vectors, with XGBoost 3.4.1: the versions before give no contributions of such
    python random_shap.py zero FOLDER           makes zero.json there, of whose leaves some have a sum of hessians of 0

For each model: N.txt (LightGBM) or N.json (XGBoost), and N.csv, rows (empty is missing) and contributions as hexadecimal floats.
"""
import json
import pathlib
import sys

import numpy as np
import xgboost as xgb


def data(rng, n, width, missing):
    x = np.column_stack([rng.lognormal(3, 1, n) if i % 3 else rng.integers(0, 30, n) for i in range(width)]).astype(np.float32).astype(np.float64)
    x[rng.random(x.shape) < missing] = np.nan
    x[rng.random(x.shape) < 0.1] = 0.0
    return x


def write(folder, i, x, shares):
    head = [f"f{k}" for k in range(x.shape[1])] + [f"contribution_{k}" for k in range(shares.shape[1])]
    with open(folder / f"{i}.csv", "w") as f:
        print(*head, sep=",", file=f)
        for row, share in zip(x, shares):
            print(*["" if np.isnan(v) else float(v).hex() for v in row], *[float(v).hex() for v in share], sep=",", file=f)


def lightgbm(folder, i, rng, x, y, classes, test):
    import lightgbm as lgb

    params = {
        "num_leaves": int(rng.choice([4, 31, 127])), "min_data_in_leaf": int(rng.choice([1, 5, 30])), "learning_rate": float(rng.choice([0.05, 0.3])), "seed": i, "verbosity": -1,
        "num_threads": 1, "use_missing": bool(rng.random() < 0.8), "zero_as_missing": bool(rng.random() < 0.3), "max_cat_to_onehot": int(rng.choice([1, 4, 100])),
        "min_data_per_group": 5, "cat_smooth": 1.0, "boosting": str(rng.choice(["gbdt", "dart", "rf"])), "bagging_freq": 1, "bagging_fraction": 0.7,
    }
    params.update({"objective": "multiclass", "num_class": 3} if rng.random() < 0.3 else {"objective": str(rng.choice(["binary", "regression"]))})
    label = classes if "num_class" in params else y > 0 if params["objective"] == "binary" else y
    categories = [c for c in range(0, x.shape[1], 3) if rng.random() < 0.4]
    booster = lgb.train(params, lgb.Dataset(x, label, categorical_feature=categories, params={"verbosity": -1}), int(rng.integers(1, 15)))
    booster.save_model(folder / f"{i}.txt")
    write(folder, i, test, lgb.Booster(model_file=folder / f"{i}.txt").predict(test, pred_contrib=True).reshape(len(test), -1))


def xgboost(folder, i, rng, x, y, classes, test):
    params = {
        "max_depth": int(rng.integers(1, 9)), "eta": float(rng.choice([0.05, 0.3, 1.0])), "tree_method": str(rng.choice(["exact", "hist"])), "min_child_weight": float(rng.choice([0, 1, 20])),
        "subsample": float(rng.choice([1, 0.5])), "num_parallel_tree": int(rng.choice([1, 1, 3])), "max_cat_to_onehot": int(rng.choice([1, 4, 1000])), "seed": i, "nthread": 1,
    }
    params.update({"objective": "multi:softprob", "num_class": 3} if rng.random() < 0.3 else {"objective": str(rng.choice(["binary:logistic", "reg:squarederror"]))})
    label = classes if "num_class" in params else y > 0 if params["objective"] == "binary:logistic" else y
    if rng.random() < 0.3:
        params.update(booster="dart", rate_drop=0.4, one_drop=1)
    types = ["c" if c % 3 == 0 and params["tree_method"] == "hist" and rng.random() < 0.4 else "q" for c in range(x.shape[1])]
    booster = xgb.train(params, xgb.DMatrix(x, label, feature_types=types, enable_categorical=True), int(rng.integers(1, 15)))
    booster.save_model(folder / f"{i}.json")
    booster = xgb.Booster(model_file=folder / f"{i}.json", params={"nthread": 1})
    write(folder, i, test, booster.predict(xgb.DMatrix(test, feature_types=types, enable_categorical=True), pred_contribs=True).reshape(len(test), -1))


def vector(folder):
    rng = np.random.default_rng(1)
    x, test = data(rng, 500, 5, 0.2), data(rng, 30, 5, 0.2)
    z = np.log1p(np.nan_to_num(x))
    y = np.column_stack([z[:, 0] * z[:, 1], z[:, 3] - z[:, 2], z[:, 4]])
    booster = xgb.train({"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 4, "nthread": 1}, xgb.DMatrix(x, y), 3)
    booster.save_model(folder / "vector.json")
    write(folder, "vector", test, xgb.Booster(model_file=folder / "vector.json").predict(xgb.DMatrix(test), pred_contribs=True).reshape(len(test), -1))


def zero(folder):
    """A model whose sums of hessians were made anew from a few rows, so that no row comes to some of the leaves."""
    rng = np.random.default_rng(1)
    x, test = data(rng, 500, 5, 0.2), data(rng, 40, 5, 0.2)
    y = (np.log1p(np.nan_to_num(x)).sum(axis=1) > 9).astype(float)
    params = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1}
    trained = xgb.train(params, xgb.DMatrix(x, y), 4)
    for rows in range(5, len(x)):
        refreshed = xgb.train({**params, "process_type": "update", "updater": "refresh", "refresh_leaf": False}, xgb.DMatrix(x[:rows], y[:rows]), 4, xgb_model=trained.copy())
        trees = json.loads(refreshed.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
        if not any(h == 0 and left >= 0 for t in trees for h, left in zip(t["sum_hessian"], t["left_children"])):
            break
    refreshed.save_model(folder / "zero.json")
    write(folder, "zero", test, xgb.Booster(model_file=folder / "zero.json").predict(xgb.DMatrix(test), pred_contribs=True))


def main():
    if sys.argv[1] == "zero":
        return zero(pathlib.Path(sys.argv[2]))
    if sys.argv[1] == "vector":
        return vector(pathlib.Path(sys.argv[2]))
    folder, seed, count = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    rng = np.random.default_rng(seed)
    for i in range(count):
        width, missing = int(rng.choice([3, 6, 15, 30])), float(rng.choice([0.0, 0.2]))
        x, test = data(rng, int(rng.choice([100, 2000])), width, missing), data(rng, 30, width, 0.2)
        z = np.nan_to_num(x)
        y = np.log1p(z).sum(axis=1) - np.log1p(z).sum(axis=1).mean() + np.where(z[:, 0] % 7 < 3, 1.0, -1.0) + rng.normal(0, 0.5, len(x))
        (lightgbm if i % 2 else xgboost)(folder, i, rng, x, y, np.digitize(y, [-1, 1]).astype(float), test)


if __name__ == "__main__":
    main()
