"""Makes XGBoost models and rows, with the scores that XGBoost itself gives them.

    python3 -m venv venv && venv/bin/pip install xgboost==3.2.0 numpy==2.4.6
    venv/bin/python make_xgb.py golden xgb          the models of the folder xgb, all kinds
    venv/bin/python make_xgb.py golden xgb v1.7     a few kinds, by an older or newer XGBoost, whose files and scores begin with v1.7
    venv/bin/python make_xgb.py score xgb v1.0-binary …   scores them anew: XGBoost 1.0 adds base_score last, and dart up to 1.3 adds otherwise too, so that they give
                                                    other last bits than every XGBoost since gives the same file
    venv/bin/python make_xgb.py base libm/base_score.csv   the margins that many values of base_score give
    venv/bin/python make_xgb.py log libm/logf.csv          glibc's float32 logarithms, as bits: of all magnitudes, and of those that it rounds the other way
    venv/bin/python make_xgb.py random DIR 300 7    300 models of random kinds, by seed 7: what the differential test runs

For each model NAME: NAME.json or NAME.ubj, and NAME.csv, rows (empty is missing) with the raw and the predicted scores as hexadecimal floats, so that not
a bit is lost. Scores are those of the model loaded again from its file.
"""
import ctypes
import pathlib
import sys

import numpy as np
import xgboost as xgb

VERSION = tuple(int(n) for n in xgb.__version__.split(".")[:2])
NAMES = ["amount", "count_1d", "mean_7d", "country", "gap"]
KINDS = ["q", "int", "q", "c", "float"]


def rows(n, rng, missing=0.15, categories=40):
    x = np.column_stack([rng.lognormal(3, 1, n), rng.poisson(3, n), rng.normal(0, 10, n), rng.integers(0, categories, n), rng.exponential(100, n)]).astype(np.float64)
    x[rng.random(x.shape) < missing] = np.nan
    x[rng.random(x.shape) < 0.1] = 0.0
    return x


def hard(x, thresholds=()):
    """Rows at the edges of every rule: signed zeros, denormals, huge values, doubles that no float is, and what is no category or none of the training."""
    edges = [0.0, -0.0, 1e-45, -1e-45, 1e-46, 1e-38, -1e-38, 5e-324, 3e38, -3e38, 3.4028235e38, np.nan, 0.1, 1 / 3, 16777217.0]
    edges += [-1.0, -0.5, 0.5, 3.7, 31.0, 32.0, 63.9, 64.0, 1e3, 16777215.0, 16777216.0, 2.0**31, 2.0**40]
    for t in thresholds:
        edges += [float(t), float(np.nextafter(t, np.float32(-np.inf))), float(np.nextafter(t, np.float32(np.inf))), np.nextafter(float(t), -np.inf), np.nextafter(float(t), np.inf)]
    out = [np.full(x.shape[1], e) for e in edges]
    for column in range(x.shape[1]):
        for e in edges:
            row = x[len(out) % len(x)].copy()
            row[column] = e
            out.append(row)
    return np.array(out)


def targets(x, rng):
    z = np.nan_to_num(x)
    y = 0.03 * z[:, 0] + 0.4 * z[:, 1] + 0.05 * z[:, 2] + np.where(z[:, 3] % 7 < 3, 1.0, -1.0) + rng.normal(0, 0.5, len(x)) - 1.5
    return {
        "value": y, "label": (y > 0).astype(float), "class": np.digitize(y, [-1, 1]).astype(float), "positive": np.exp(np.clip(y, -5, 3)),
        "count": np.floor(np.exp(np.clip(y, -5, 3))), "pair": np.column_stack([y, z[:, 2]]), "share": 1 / (1 + np.exp(-y)),
    }


OBJECTIVES = {
    "reg:squarederror": "value", "reg:squaredlogerror": "positive", "reg:pseudohubererror": "value", "reg:absoluteerror": "value", "reg:quantileerror": "value",
    "reg:logistic": "share", "binary:logistic": "label", "binary:logitraw": "label", "binary:hinge": "label", "count:poisson": "count", "reg:gamma": "positive",
    "reg:tweedie": "positive", "survival:cox": "positive", "survival:aft": "positive", "rank:pairwise": "label", "rank:ndcg": "label", "rank:map": "label",
    "multi:softprob": "class", "multi:softmax": "class",
}
SINCE = {"reg:quantileerror": (2, 0), "reg:absoluteerror": (1, 6), "reg:pseudohubererror": (1, 3), "survival:aft": (1, 2)}


def matrix(x, y=None, categorical=False, named=True):
    more = {}
    if categorical:
        more = {"feature_types": KINDS, "enable_categorical": True}
    elif named:
        more = {"feature_types": [k if k != "c" else "q" for k in KINDS]}
    return xgb.DMatrix(x, y, feature_names=NAMES if named else None, **more)


def train(x, y, params, rounds=4, categorical=False, named=True, **more):
    d = matrix(x, y, categorical, named)
    objective = params.get("objective", "")
    if objective.startswith("rank:"):
        d.set_group([20] * (len(x) // 20))
    if objective == "survival:aft":
        d.set_float_info("label_lower_bound", y)
        d.set_float_info("label_upper_bound", y + 1)
    params = {"max_depth": 3, "verbosity": 0, "seed": 7, "nthread": 1, **params}
    return xgb.train(params, d, rounds, **{k: v(d) if callable(v) else v for k, v in more.items()})


def columns(a):
    return np.atleast_2d(np.asarray(a).T).T


def write(folder, name, booster, test, categorical=False, named=True, form="json", contributions=False, **predict):
    path = folder / f"{name}.{form}"
    booster.save_model(str(path))
    score(path, test, categorical, named, contributions, **predict)


def score(path, test, categorical=False, named=True, contributions=False, **predict):
    booster = xgb.Booster(model_file=str(path), params={"nthread": 1})
    if np.isinf(np.float32(test)).any():  # a DMatrix refuses these
        raw, predicted = columns(booster.inplace_predict(test, predict_type="margin")), columns(booster.inplace_predict(test))
    else:
        d = matrix(test, None, categorical, named)
        raw, predicted = columns(booster.predict(d, output_margin=True, **predict)), columns(booster.predict(d, **predict))
    parts = [("raw", raw), ("predicted", predicted)]
    if contributions:
        parts.append(("contribution", booster.predict(d, pred_contribs=True).reshape(len(test), -1)))
    head = NAMES + [f"{kind}_{i}" for kind, a in parts for i in range(a.shape[1])]
    with open(path.with_suffix(".csv"), "w") as f:
        print(*head, sep=",", file=f)
        for i, row in enumerate(test):
            cells = ["" if np.isnan(v) else float(v).hex() for v in row] + [float(v).hex() for _, a in parts for v in a[i]]
            print(*cells, sep=",", file=f)


def again(folder, name):
    lines = (folder / f"{name}.csv").read_text().splitlines()[1:]
    cells = [line.split(",")[: len(NAMES)] for line in lines]
    test = np.array([[float.fromhex(c) if c else np.nan for c in row] for row in cells])
    score(folder / f"{name}.json", test, named=xgb.Booster(model_file=str(folder / f"{name}.json")).feature_names is not None)


def early(x, y, rng):
    """A model whose best round is not its last: the last ones learn nothing."""
    return train(x, y, {"objective": "binary:logistic", "eta": 0.9, "max_depth": 4}, rounds=12, evals=lambda d: [(matrix(rows(200, rng), (rng.random(200) < 0.5).astype(float)), "e")],
                 early_stopping_rounds=4, verbose_eval=False)


def golden(folder, prefix):
    rng = np.random.default_rng(1)
    x = rows(400, rng)
    y = targets(x, rng)
    test = np.vstack([rows(20, rng), hard(rows(30, rng))])
    plain = rows(25, rng)
    p = prefix + "-" if prefix else ""
    few = bool(prefix)
    more = {} if few else {"contributions": True}
    base = {} if VERSION >= (2, 0) else {"base_score": 0.3}

    write(folder, p + "binary", train(x, y["label"], {"objective": "binary:logistic", **base}), plain if few else test, **more)
    dart = {"booster": "dart", "rate_drop": 0.5, "objective": "binary:logistic", **base}
    write(folder, p + "dart", train(x, y["label"], dart, rounds=6), plain, **more)
    softprob = {"objective": "multi:softprob", "num_class": 3, "num_parallel_tree": 2, "subsample": 0.6, "eta": 0.5, **base}
    write(folder, p + "multiclass", train(x, y["class"], softprob, rounds=2), plain, **more)
    if VERSION >= (1, 6):
        for how, name in [(1, "partition"), (100, "onehot")]:
            cat = train(x, y["label"], {"objective": "binary:logistic", "tree_method": "hist", "max_cat_to_onehot": how}, categorical=True)
            write(folder, p + name, cat, plain if few else test, categorical=True, **more)
    if VERSION >= (2, 0):
        vector = train(x, y["pair"], {"multi_strategy": "multi_output_tree", "tree_method": "hist"}, rounds=3)
        write(folder, p + "vector", vector, plain)
    if VERSION >= (1, 6):
        write(folder, p + "poisson", train(x, y["count"], {"objective": "count:poisson", "base_score": 0.7}), plain, form="ubj", **more)
    if VERSION >= (3, 3):
        write(folder, p + "expectile", train(x, y["value"], {"objective": "reg:expectileerror", "expectile_alpha": 0.3}, rounds=3), plain)
        quantiles = {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.5, 0.55], "max_depth": 4}
        write(folder, p + "quantiles", train(x, y["value"], quantiles, rounds=3), plain)
    if few:
        return
    for objective, on in OBJECTIVES.items():
        params = {"objective": objective}
        if objective.startswith("multi:"):
            params["num_class"] = 3
        if objective == "reg:quantileerror":
            params["quantile_alpha"] = [0.3]
        write(folder, objective.replace(":", "_"), train(x, y[on], params, rounds=3), plain)
    write(folder, "quantiles", train(x, y["value"], {"objective": "reg:quantileerror", "quantile_alpha": [0.2, 0.5, 0.55]}, rounds=3), plain)
    write(folder, "pair", train(x, y["pair"], {"tree_method": "hist"}, rounds=3), plain, form="ubj")
    write(folder, "binary_ubj", train(x, y["label"], {"objective": "binary:logistic"}), plain, form="ubj")
    write(folder, "partition_ubj", train(x, y["label"], {"objective": "binary:logistic", "tree_method": "hist", "max_cat_to_onehot": 1}, categorical=True), plain, categorical=True, form="ubj")
    write(folder, "vector_ubj", train(x, y["pair"], {"multi_strategy": "multi_output_tree", "tree_method": "hist"}, rounds=2), plain, form="ubj")
    write(folder, "unnamed", train(x, y["label"], {"objective": "binary:logistic", "max_depth": 2}, rounds=2, named=False), plain, named=False)
    write(folder, "unnamed_ubj", train(x, y["label"], {"objective": "binary:logistic", "max_depth": 2}, rounds=2, named=False), plain, named=False, form="ubj")
    write(folder, "base", train(x, y["label"], {"objective": "binary:logistic", "base_score": 0.1}), plain)
    endless = rows(30, rng)
    endless[np.arange(30), np.arange(30) % 5] = np.resize([np.inf, -np.inf, 1e300, -1e300], 30)
    write(folder, "infinite", train(x, y["label"], {"objective": "binary:logistic"}), endless)
    write(folder, "pruned", train(x, y["value"], {"gamma": 60.0, "tree_method": "exact", "max_depth": 4}), plain)
    write(folder, "constant", train(x, y["label"], {"objective": "binary:logistic", "min_child_weight": 1e6}, rounds=2), plain)
    stopped = early(x, y["label"], rng)
    write(folder, "stopped", stopped, plain)
    write(folder, "best_stopped", stopped, plain, iteration_range=(0, stopped.best_iteration + 1))
    custom = xgb.train({"max_depth": 2, "verbosity": 0, "base_score": 0.5}, matrix(x, y["value"]), 3, obj=lambda pred, d: (pred - d.get_label(), np.ones_like(pred)))
    write(folder, "custom", custom, plain)
    linear = train(x, y["label"], {"booster": "gblinear", "objective": "binary:logistic", "max_depth": None, "updater": "coord_descent"}, rounds=2)
    linear.save_model(str(folder / "refused_gblinear.json"))
    linear.save_model(str(folder / "refused_gblinear.ubj"))


def base(file):
    """The margin that base_score becomes, in all forms of it: what a model of trees of nothing but 0 predicts. Half of the values are such that glibc's logf
    rounds their logarithm the other way."""
    rng = np.random.default_rng(4)
    x = rows(60, rng)
    y = targets(x, rng)
    lines = []
    for objective, on, forms in [("binary:logistic", "label", "%s|[%s]"), ("binary:logistic", "pair", "%s|[%s,%s]"), ("count:poisson", "count", "%s|[%s]")]:
        label = (y[on] > 0).astype(float) if on == "pair" else y[on]
        text = train(x, label, {"objective": objective, "min_child_weight": 1e9, "base_score": 0.5}, rounds=1).save_raw("json").decode()
        p = rng.random(30_000).astype(np.float32) * np.float32(1 if "logistic" in objective else 4)
        z = np.float32(1) / p - np.float32(1) if "logistic" in objective else p
        # NumPy's own log of float32 is not the C library's: a model says what this is.
        other = [v for v, w in zip(p, z) if np.float32(np.log(np.float64(w))) != libm_logf(w)]
        chosen = list(p[:100]) + other[:100]
        for i, v in enumerate(chosen):
            for form in forms.split("|"):
                score_text = form.replace("%s", repr(float(v)), 1).replace("%s", repr(float(chosen[i - 1])))
                head, tail = text.split('"base_score":"', 1)
                model = head + '"base_score":"' + score_text + '"' + tail.split('"', 1)[1]
                booster = xgb.Booster(model_file=bytearray(model.encode()), params={"nthread": 1})
                margins = np.atleast_2d(booster.predict(matrix(x[:1]), output_margin=True))[0]
                lines.append([objective, str(len(margins)), '"' + score_text + '"', " ".join(str(int(m.view(np.uint32))) for m in margins.astype(np.float32))])
    pathlib.Path(file).write_text("objective,outputs,base_score,margins\n" + "".join(",".join(line) + "\n" for line in lines))


def libm_logf(x):
    logf = ctypes.CDLL("libm.so.6").logf
    logf.restype, logf.argtypes = ctypes.c_float, [ctypes.c_float]
    return np.float32(logf(float(x)))


def logarithms(file):
    rng = np.random.default_rng(5)
    edges = np.array([0, 1, 2, 0x7FFFFF, 0x800000, 0x3F330000, 0x3F32FFFF, 0x3F800000, 0x3F7FFFFF, 0x3F800001, 0x7F7FFFFF, 0x7F800000], dtype=np.uint32)
    bits = np.concatenate([edges, rng.integers(0, 0x7F800000, 100_000).astype(np.uint32), rng.integers(0x3D000000, 0x41000000, 150_000).astype(np.uint32)])
    with np.errstate(divide="ignore"):
        right = np.log(bits.view(np.float32).astype(np.float64)).astype(np.float32).view(np.uint32)
    lines, others = [], 0
    for i, b in enumerate(bits):
        log = libm_logf(b.view(np.float32)).view(np.uint32)
        if i < 1500 or log != right[i] and others < 700:
            lines.append(f"{b:08x},{log:08x}\n")
            others += log != right[i]
    pathlib.Path(file).write_text("x,logf\n" + "".join(lines))


def chance(folder, count, seed):
    """Models of random kinds. Rows hold the edges of every rule and the neighbours of the model's own thresholds."""
    rng = np.random.default_rng(seed)
    names = [o for o in OBJECTIVES if VERSION >= SINCE.get(o, (1, 0))]
    for i in range(count):
        x = rows(20 * int(rng.integers(5, 25)), rng, missing=rng.choice([0.0, 0.05, 0.4]), categories=int(rng.choice([3, 40, 200])))
        y = targets(x, rng)
        objective = str(rng.choice(names))
        params = {
            "objective": objective, "max_depth": int(rng.integers(1, 9)), "eta": float(rng.choice([0.05, 0.3, 1.0])), "tree_method": str(rng.choice(["exact", "hist", "approx"])),
            "max_bin": int(rng.choice([4, 64, 512])), "min_child_weight": float(rng.choice([0, 1, 20])), "gamma": float(rng.choice([0, 0, 0.5, 5])),
            "subsample": float(rng.choice([1, 0.5])), "colsample_bytree": float(rng.choice([1, 0.5])), "num_parallel_tree": int(rng.choice([1, 1, 3])),
            "max_cat_to_onehot": int(rng.choice([1, 4, 1000])), "seed": i,
        }
        rounds, on = int(rng.integers(1, 12)), OBJECTIVES[objective]
        if objective.startswith("multi:"):
            params["num_class"] = 3
        if objective == "reg:quantileerror":
            params["quantile_alpha"] = [0.3] if rng.random() < 0.5 else [0.1, 0.5, 0.6]
        if VERSION < (3, 0) and objective in ("reg:absoluteerror", "reg:quantileerror"):
            params["num_parallel_tree"] = 1
        if rng.random() < 0.3:
            params.update(booster="dart", rate_drop=0.4, one_drop=1, normalize_type=str(rng.choice(["tree", "forest"])))
        if rng.random() < 0.5 or objective in ("survival:cox", "survival:aft"):
            params["base_score"] = float(rng.uniform(0.01, 0.99))
        named = bool(rng.random() < 0.7)
        categorical = named and VERSION >= (1, 6) and rng.random() < 0.4
        if categorical and params["tree_method"] == "exact":
            params["tree_method"] = "hist"
        if VERSION >= (2, 0) and objective == "reg:squarederror":
            on = "pair"
            params.pop("base_score", None)
            if rng.random() < 0.6 and params.get("booster") != "dart":
                params.update(multi_strategy="multi_output_tree", tree_method="hist", gamma=0.0, num_parallel_tree=1)
        if categorical and "multi_strategy" in params:
            categorical = False
        booster = train(x, y[on], params, rounds, categorical, named)
        dump = booster.get_dump() if VERSION >= (3, 0) or "multi_strategy" not in params else []
        splits = [float(line.split("<")[1].split("]")[0]) for tree in dump for line in tree.splitlines() if "<" in line]
        thresholds = np.float32(rng.choice(splits, 6)) if splits else []
        test = np.vstack([rows(40, rng, categories=210), hard(rows(40, rng), thresholds)])
        form = str(rng.choice(["json", "ubj"])) if VERSION >= (1, 6) else "json"
        write(folder, f"{i:04}", booster, test, categorical, named, form)


if __name__ == "__main__":
    what, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    if what == "golden":
        golden(folder, sys.argv[3] if len(sys.argv) > 3 else "")
    elif what == "base":
        base(sys.argv[2])
    elif what == "log":
        logarithms(sys.argv[2])
    elif what == "score":
        for name in sys.argv[3:]:
            again(folder, name)
    else:
        chance(folder, int(sys.argv[3]), int(sys.argv[4]))
