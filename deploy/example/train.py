"""Trains an example model on what `verdict replay --write features:parquet` wrote, and puts it into a bundle that verdict loads.

    python3 -m venv venv && venv/bin/pip install lightgbm==4.7.0 pandas==3.1.1 scikit-learn==1.9.1 pyarrow==26.0.1
    verdict replay --orders orders.jsonl.gz --labels labels.jsonl.gz --features handbook.yaml --since 2018-07-25T00:00:00Z --write features:parquet --out out
    venv/bin/python train.py --features out/features.parquet --orders orders.jsonl.gz --labels labels.jsonl.gz --out models/handbook/1

With --out models/card/1, on what card.yaml gives, it trains that model: the name of the bundle picks the recipe. To make it your own, add a recipe to RECIPES.

The protocol is the Fraud Detection Handbook's: train on seven days, leave seven out (their labels are not known yet), test on the next seven. Customers
known to be defrauded by then are left out of the test.
"""
import argparse
import dataclasses
import datetime
import gzip
import json
import pathlib
import statistics

import lightgbm as lgb
import pandas as pd
from sklearn.metrics import average_precision_score, roc_auc_score

DAYS = 7  # of training, of delay, and of the test

# Frauds are rare and lie in the tail of the amount: 255 bins, LightGBM's default, are too coarse to see them.
COMMON = {
    "objective": "binary", "learning_rate": 0.05, "min_data_in_bin": 1, "bagging_freq": 1,
    "deterministic": True, "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a model is made of: the feature set's version, its inputs among the features, and how it is trained."""
    feature_set: str
    inputs: list[str]
    params: dict
    trees: int


RECIPES = {
    "handbook": Recipe(
        feature_set="handbook@1",
        inputs=[
            "amount", "tx_during_weekend", "tx_during_night",
            "customer_id_nb_tx_1day_window", "customer_id_avg_amount_1day_window", "customer_id_nb_tx_7day_window",
            "customer_id_avg_amount_7day_window", "customer_id_nb_tx_30day_window", "customer_id_avg_amount_30day_window",
            "terminal_id_nb_tx_1day_window", "terminal_id_risk_1day_window", "terminal_id_nb_tx_7day_window",
            "terminal_id_risk_7day_window", "terminal_id_nb_tx_30day_window", "terminal_id_risk_30day_window",
        ],
        params={"num_leaves": 31, "min_data_in_leaf": 10, "max_bin": 4095, "feature_fraction": 0.6, "bagging_fraction": 0.8, "lambda_l2": 1.0},
        trees=100,
    ),
    # All features of card.yaml but its steps. Half of the frauds leave no trace before their labels come: trees that try to explain them too learn noise, so these
    # are small, and a split must be worth something.
    "card": Recipe(
        feature_set="card@1",
        inputs=[
            "amount", "customer_usual", "ratio", "z", "over_most", "customer_orders_60d", "customer_orders_1d", "stolen",
            "terminal_fraud_rate_28d", "terminal_frauds_14d", "terminal_last_label", "terminal_oldest_fraud", "terminal_newest_genuine",
            "terminal_quiet_14d", "terminal_quiet_28d", "terminal_quiet_last", "terminal_quiet_newest", "terminal_quiet_oldest",
        ],
        params={"num_leaves": 7, "min_data_in_leaf": 20, "max_bin": 1023, "bagging_fraction": 0.9, "lambda_l2": 5.0, "min_gain_to_split": 3.0},
        trees=180,
    ),
}


def json_lines(path):
    with gzip.open(path, "rt") if str(path).endswith(".gz") else open(path) as f:
        return pd.DataFrame([json.loads(line) for line in f])


def read(args, inputs):
    """Returns the orders with their features, day (0 is the first of the training) and label."""
    path = pathlib.Path(args.features)
    features = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    features = features[["order_id"] + [f for f in inputs if f in features]].astype({"order_id": str})
    orders, labels = json_lines(args.orders), json_lines(args.labels)
    keep = ["order_id", "occurred_at", "customer_id"] + [f for f in inputs if f not in features and f in orders]
    rows = features.merge(orders[keep], on="order_id", how="inner", validate="one_to_one")
    if len(rows) != len(features):
        raise SystemExit(f"{len(features) - len(rows)} rows of {path} belong to no order of {args.orders}")
    frauds = set(labels.loc[labels["fraud"].astype(bool), "order_id"])
    rows["fraud"] = rows["order_id"].isin(frauds).astype(int)
    start = datetime.date.fromisoformat(args.start)
    rows["day"] = [(datetime.date.fromisoformat(at[:10]) - start).days for at in rows["occurred_at"]]
    return rows.sort_values(["occurred_at", "order_id"], kind="stable")


def split(rows):
    """Returns the training rows and the test rows, the latter without customers whose card is known to be compromised by then."""
    train = rows[rows["day"].between(0, DAYS - 1)]
    known = set(train.loc[train["fraud"] == 1, "customer_id"])
    days = []
    for k in range(DAYS):
        before = rows[(rows["day"] == DAYS + k - 1) & (rows["fraud"] == 1)]
        known |= set(before["customer_id"])
        day = rows[rows["day"] == 2 * DAYS + k]
        days.append(day[~day["customer_id"].isin(known)])
    return train, pd.concat(days)


def card_precision(test, top=100):
    """Of the top customers that an investigator looks at each day, the share that was defrauded; a card that was found is not looked at again."""
    found, shares = set(), []
    for _, day in test.groupby("day"):
        cards = day[~day["customer_id"].isin(found)].groupby("customer_id")[["score", "fraud"]].max()
        cards = cards.sort_values("score", ascending=False, kind="stable").head(top)
        caught = cards[cards["fraud"] == 1]
        found |= set(caught.index)
        shares.append(len(caught) / top)
    return sum(shares) / len(shares)


def golden(test, inputs):
    """Returns rows that show the model at its work: the highest scores, some of every day, and some with missing values."""
    picked = pd.concat([test.nlargest(20, "score"), test.groupby("day").sample(10, random_state=1)])
    rows = picked.drop_duplicates("order_id")[inputs].astype(float).reset_index(drop=True)
    for i in range(0, len(rows), 4):
        rows.iloc[i, [(i + 4) % len(inputs), (i + 9) % len(inputs)]] = float("nan")
    return rows


def fit(recipe, train, seed):
    """Returns the trees that the recipe makes of the training rows."""
    params = {**COMMON, **recipe.params, "seed": seed}
    data = lgb.Dataset(train[recipe.inputs].to_numpy(dtype=float), train["fraud"].to_numpy(), feature_name=recipe.inputs, params=params)
    return lgb.train(params, data, num_boost_round=recipe.trees)


def quality(test):
    """Returns the figures of the book for the scores of the test."""
    return roc_auc_score(test["fraud"], test["score"]), average_precision_score(test["fraud"], test["score"]), card_precision(test)


def write(out, booster, recipe, rows, note):
    out.mkdir(parents=True, exist_ok=True)
    booster.save_model(out / "model.txt")
    saved = lgb.Booster(model_file=out / "model.txt")
    rows = rows.assign(score=saved.predict(rows[recipe.inputs].to_numpy()))
    rows.to_csv(out / "golden.csv", index=False)
    name, version = out.parent.name, out.name
    inputs = "\n".join(f"  - {f}" for f in recipe.inputs)
    (out / "bundle.yaml").write_text(
        f"# {note}\nname: {name}\nversion: {version}\nfeatures: {recipe.feature_set}\nfile: model.txt\nformat: lightgbm\noutput: probability\ninputs:\n{inputs}\n")


def main():
    parser = argparse.ArgumentParser(description="Trains an example model and writes its bundle.")
    parser.add_argument("--features", required=True, help="features.parquet or features.csv of verdict replay")
    parser.add_argument("--orders", required=True, help="the orders that were replayed (JSON lines)")
    parser.add_argument("--labels", required=True, help="their labels (JSON lines)")
    parser.add_argument("--start", default="2018-07-25", help="first day of the training")
    parser.add_argument("--seeds", default=1, type=int, help="train so often, to see what luck does; the model is the one of seed 1")
    parser.add_argument("--out", default=pathlib.Path(__file__).parent / "models/handbook/1", type=pathlib.Path, help="the bundle's folder: NAME/VERSION")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds must be 1 or more")
    if args.out.resolve().parent.name not in RECIPES:
        parser.error(f"--out {args.out}: there is no recipe for a bundle of that name, there are {', '.join(sorted(RECIPES))}")
    recipe = RECIPES[args.out.resolve().parent.name]

    train, test = split(read(args, recipe.inputs))
    print(f"train {len(train)} orders, {train['fraud'].sum()} frauds; test {len(test)} orders, {test['fraud'].sum()} frauds")
    figures = []
    for seed in range(args.seeds, 0, -1):  # the model is the last one
        booster = fit(recipe, train, seed)
        test = test.assign(score=booster.predict(test[recipe.inputs].to_numpy(dtype=float)))
        figures.append(quality(test))
        print("seed {}, test week: AUC {:.3f}, average precision {:.3f}, card precision@100 {:.4f}".format(seed, *figures[-1]))
    if args.seeds > 1:
        for name, values in zip(["AUC", "average precision", "card precision@100"], zip(*figures)):
            print(f"{name}: {statistics.mean(values):.4f} ± {statistics.pstdev(values):.4f}, {min(values):.4f} to {max(values):.4f}")
    for threshold in [0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9]:
        hit = test[test["score"] >= threshold]
        print(f"score >= {threshold:<4}: {len(hit) / len(test):7.3%} of the orders, {hit['fraud'].mean():6.1%} of them frauds, {hit['fraud'].sum() / test['fraud'].sum():6.1%} of all frauds")
    note = f"trained by train.py on {args.start} and the {DAYS - 1} days after; test week: AUC {figures[-1][0]:.3f}, average precision {figures[-1][1]:.3f}"
    write(args.out, booster, recipe, golden(test, recipe.inputs), note)


if __name__ == "__main__":
    main()
