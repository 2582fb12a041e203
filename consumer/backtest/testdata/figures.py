"""Rows, and the figures that scikit-learn, pandas and the Fraud Detection Handbook's own functions give for them: python figures.py [SEED [SIZE]] > figures.json

Without a seed it writes what is committed as figures.json. Needs numpy, pandas and scikit-learn.
"""
import json
import sys

import numpy as np
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

DAY = 24 * 3600 * 1_000_000
START = 1_533_686_400_000_000  # 2018-08-08


# The Fraud Detection Handbook, chapter 4 (shared_functions.py), as it stands there.
def card_precision_top_k_day(df_day, top_k):
    # This takes the max of the predictions AND the max of label TX_FRAUD for each CUSTOMER_ID,
    # and sorts by decreasing order of fraudulent prediction
    df_day = df_day.groupby('CUSTOMER_ID').max().sort_values(by="predictions", ascending=False).reset_index(drop=False)

    # Get the top k most suspicious cards
    df_day_top_k = df_day.head(top_k)
    list_detected_compromised_cards = list(df_day_top_k[df_day_top_k.TX_FRAUD == 1].CUSTOMER_ID)

    # Compute precision top k
    card_precision_top_k = len(list_detected_compromised_cards) / top_k

    return list_detected_compromised_cards, card_precision_top_k


def card_precision_top_k(predictions_df, top_k, remove_detected_compromised_cards=True):
    # Sort days by increasing order
    list_days = list(predictions_df['TX_TIME_DAYS'].unique())
    list_days.sort()

    # At first, the list of detected compromised cards is empty
    list_detected_compromised_cards = []

    card_precision_top_k_per_day_list = []
    nb_compromised_cards_per_day = []

    # For each day, compute precision top k
    for day in list_days:

        df_day = predictions_df[predictions_df['TX_TIME_DAYS'] == day]
        df_day = df_day[['predictions', 'CUSTOMER_ID', 'TX_FRAUD']]

        # Let us remove detected compromised cards from the set of transactions
        df_day = df_day[df_day.CUSTOMER_ID.isin(list_detected_compromised_cards) == False]

        nb_compromised_cards_per_day.append(len(df_day[df_day.TX_FRAUD == 1].CUSTOMER_ID.unique()))

        detected_compromised_cards, card_precision_top_k = card_precision_top_k_day(df_day, top_k)

        card_precision_top_k_per_day_list.append(card_precision_top_k)

        # Let us update the list of detected compromised cards
        if remove_detected_compromised_cards:
            list_detected_compromised_cards.extend(detected_compromised_cards)

    # Compute the mean
    mean_card_precision_top_k = np.array(card_precision_top_k_per_day_list).mean()

    # Returns precision top k per day as a list, and resulting mean
    return nb_compromised_cards_per_day, card_precision_top_k_per_day_list, mean_card_precision_top_k


def precision_top_k_day(df_day, top_k):
    # Order transactions by decreasing probabilities of frauds
    df_day = df_day.sort_values(by="predictions", ascending=False).reset_index(drop=False)

    # Get the top k most suspicious transactions
    df_day_top_k = df_day.head(top_k)
    list_detected_fraudulent_transactions = list(df_day_top_k[df_day_top_k.TX_FRAUD == 1].TRANSACTION_ID)

    # Compute precision top k
    precision_top_k = len(list_detected_fraudulent_transactions) / top_k

    return list_detected_fraudulent_transactions, precision_top_k


def calibration_error(y, p, edges):
    at = np.searchsorted(edges[1:-1], p)
    return sum(abs(y[at == b].mean() - p[at == b].mean()) * (at == b).mean() for b in np.unique(at))


def figures(df, top_k, budget):
    y, p = df.TX_FRAUD.to_numpy(), df.predictions.to_numpy()
    f = {"average_precision": average_precision_score(y, p)}
    precision, recall, at = precision_recall_curve(y, p)
    f["pr"] = [[*map(float, t)] for t in zip(recall[:-1], precision[:-1], at)]
    if 0 < y.sum() < len(y):
        f["auc"] = roc_auc_score(y, p)
        fpr, tpr, at = roc_curve(y, p, drop_intermediate=False)
        f["roc"] = [[*map(float, t)] for t in zip(fpr[1:], tpr[1:], at[1:])]
    if p.min() >= 0 and p.max() <= 1:
        f["brier"] = brier_score_loss(y, p)
        for strategy, edges in (("uniform", np.linspace(0, 1, 11)), ("quantile", np.percentile(p, np.linspace(0, 1, 11) * 100))):
            true, predicted = calibration_curve(y, p, n_bins=10, strategy=strategy)
            f[strategy] = [[*map(float, t)] for t in zip(predicted, true)]
            f["ece_" + strategy] = calibration_error(y, p, edges)
    if len(np.unique(p)) == len(p):  # with equal scores pandas leaves their order open
        f["at_k"] = []
        for k in top_k:
            cards, by_day, mean = card_precision_top_k(df, k)
            orders = [precision_top_k_day(day, k)[1] for _, day in df.groupby("TX_TIME_DAYS")]
            f["at_k"].append({"k": k, "card": mean, "card_by_day": by_day, "cards": cards, "order": float(np.mean(orders)), "order_by_day": orders})
        found = [len(precision_top_k_day(day, budget)[0]) for _, day in df.groupby("TX_TIME_DAYS")]
        looked = [min(budget, len(day)) for _, day in df.groupby("TX_TIME_DAYS")]
        f["recall"] = sum(found) / max(1, int(y.sum()))
        f["precision"] = sum(found) / sum(looked)
    return {k: float(v) if isinstance(v, np.floating) else v for k, v in f.items()}


def case(rng, name, n, days, customers, rate, form):
    risky = rng.random(customers) < 0.1
    customer = rng.integers(0, customers, n)
    fraud = rng.random(n) < np.where(risky[customer], min(1, rate * 8), rate / 4)
    fraud[0] = True  # of nothing there are no figures
    score = 1 / (1 + np.exp(-rng.normal(np.where(fraud, 1.0, -1.5), 1.2)))
    if form == "tied":
        score = np.round(score, 1)
    if form == "equal":
        score[:] = 0.25
    if form == "margin":
        score = np.log(score / (1 - score))
    if form == "tiny":
        score = score * 1e-12
    at = np.sort(rng.choice(days * 86_400, n, replace=False)) * 1_000_000
    df = pd.DataFrame({"TRANSACTION_ID": range(n), "TX_TIME_DAYS": at // DAY, "CUSTOMER_ID": customer, "TX_FRAUD": fraud.astype(int), "predictions": score})
    top_k, budget = [5, 20], 7
    return {
        "name": name, "top_k": top_k, "budget": budget,
        "at": [int(START + t) for t in at], "customer": [int(c) for c in customer], "fraud": [int(x) for x in fraud], "score": [float(s) for s in score],
        "figures": figures(df, top_k, budget),
    }


def main():
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    size = int(sys.argv[2]) if len(sys.argv) > 2 else 250
    rng = np.random.default_rng(seed)
    cases = [
        case(rng, "distinct", size, 7, max(2, size // 6), 0.05, ""),
        case(rng, "many days", size, 40, max(2, size // 10), 0.1, ""),
        case(rng, "tied", size, 3, max(2, size // 4), 0.2, "tied"),
        case(rng, "equal", max(2, size // 5), 2, 3, 0.3, "equal"),
        case(rng, "margins", size, 5, max(2, size // 5), 0.1, "margin"),
        case(rng, "tiny scores", size, 5, max(2, size // 5), 0.1, "tiny"),
        case(rng, "one fraud", max(2, size // 5), 1, 5, 0.0, ""),
        case(rng, "mostly fraud", max(2, size // 5), 2, 4, 1.0, ""),
    ]
    print("[" + ",\n".join(json.dumps(c) for c in cases) + "]")


main()
