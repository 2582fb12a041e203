"""The Handbook's features with pandas, the way its chapter 3 makes them: a rolling window by time for each customer and each terminal (group by group).

features.py ORDERS LABELS OUT: JSON lines (also .gz), and the CSV to write. The last line on stderr is orders a second, reading and writing included.
"""

import sys
import time

import pandas as pd

DAYS = (1, 7, 30)
DELAY = 7


def customer(orders):
    by_time = orders.set_index("occurred_at").amount
    for days in DAYS:
        window = by_time.rolling(f"{days}D")
        count, total = window.count(), window.sum()
        orders[f"customer_id_nb_tx_{days}day_window"] = count.to_numpy()
        orders[f"customer_id_avg_amount_{days}day_window"] = (total / count).to_numpy()
    return orders


def terminal(orders):
    by_time = orders.set_index("occurred_at").fraud
    late = by_time.rolling(f"{DELAY}D")
    late_count, late_frauds = late.count(), late.sum()
    for days in DAYS:
        window = by_time.rolling(f"{DELAY + days}D")
        count, frauds = window.count() - late_count, window.sum() - late_frauds
        orders[f"terminal_id_nb_tx_{days}day_window"] = count.to_numpy()
        orders[f"terminal_id_risk_{days}day_window"] = (frauds / count).fillna(0).to_numpy()
    return orders


def main(orders_file, labels_file, out):
    began = time.perf_counter()
    orders = pd.read_json(orders_file, lines=True, dtype=False, convert_dates=False)
    orders["occurred_at"] = pd.to_datetime(orders.occurred_at, format="ISO8601")
    labels = pd.read_json(labels_file, lines=True, dtype=False, convert_dates=False)
    frauds = set(labels.order_id[labels.fraud.astype(bool)])
    orders["fraud"] = orders.order_id.isin(frauds).astype(int)
    orders["tx_during_weekend"] = (orders.occurred_at.dt.day_of_week >= 5).astype(int)
    orders["tx_during_night"] = (orders.occurred_at.dt.hour <= 6).astype(int)
    orders = orders.sort_values("occurred_at", kind="stable")
    orders = pd.concat([customer(group.copy()) for _, group in orders.groupby("customer_id")])
    orders = orders.sort_values("occurred_at", kind="stable")
    orders = pd.concat([terminal(group.copy()) for _, group in orders.groupby("terminal_id")])
    orders = orders.sort_values("occurred_at", kind="stable")
    orders.drop(columns=["fraud", "customer_id", "terminal_id", "occurred_at"]).to_csv(out, index=False)
    print(f"{len(orders) / (time.perf_counter() - began):.0f} orders/s", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
