"""Times the contributions of one row at a time, single thread: verdict (Go), LightGBM's pred_contrib and XGBoost's pred_contribs.

    venv/bin/python bench_shap.py [turns]

Of the models in testdata/bench, which bench.py --models makes. The libraries take turns with Go, and the least of all turns counts. Both are called through
their C API by ctypes, LightGBM by its fast call for single rows, XGBoost with a DMatrix that is there already; that costs microseconds.
"""
import ctypes
import json
import pathlib
import re
import subprocess
import sys
import time

import lightgbm as lgb
import numpy as np
import xgboost as xgb

HERE = pathlib.Path(__file__).parent
OUT = HERE / "bench"
WIDTH = 15
CONTRIB, DOUBLE = 3, 1  # of LightGBM's C API


def least(calls, per_turn=40):
    best = np.inf
    for i in range(per_turn):
        begin = time.perf_counter_ns()
        calls(i)
        best = min(best, time.perf_counter_ns() - begin)
    return best


def lightgbm(path, rows):
    from lightgbm.basic import _LIB

    booster, fast, n = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_int64()
    count = ctypes.c_int()
    check = lambda code: code and sys.exit(f"LightGBM: {code}")
    check(_LIB.LGBM_BoosterCreateFromModelfile(str(path).encode(), ctypes.byref(count), ctypes.byref(booster)))
    width = rows.shape[1]
    check(_LIB.LGBM_BoosterPredictForMatSingleRowFastInit(booster, CONTRIB, 0, -1, DOUBLE, width, b"num_threads=1", ctypes.byref(fast)))
    out = np.zeros(width + 1)
    at, into = rows.ctypes.data, out.ctypes.data_as(ctypes.c_void_p)
    return lambda i: check(_LIB.LGBM_BoosterPredictForMatSingleRowFast(fast, ctypes.c_void_p(at + i * width * 8), ctypes.byref(n), into))


def xgboost(path, rows):
    from xgboost.core import _LIB

    booster = xgb.Booster(model_file=str(path), params={"nthread": 1})
    singles = [xgb.DMatrix(row[None, :], nthread=1) for row in rows[:40]]
    options = json.dumps({"type": 2, "training": False, "iteration_begin": 0, "iteration_end": 0, "strict_shape": False}).encode()
    shape, dim, result = ctypes.POINTER(ctypes.c_uint64)(), ctypes.c_uint64(), ctypes.POINTER(ctypes.c_float)()
    check = lambda code: code and sys.exit(f"XGBoost: {code}")
    return lambda i: check(_LIB.XGBoosterPredictFromDMatrix(booster.handle, singles[i].handle, options, ctypes.byref(shape), ctypes.byref(dim), ctypes.byref(result)))


def verdict(best):
    out = subprocess.run(["go", "test", "-run", "xxx", "-bench", "Contributions$", "-benchtime", "0.3s", "."], cwd=HERE.parent, capture_output=True, text=True, check=True).stdout
    for name, ns in re.findall(r"BenchmarkContributions/(\S+?)(?:-\d+)?\s.*?(\d+) ns/row", out):
        best[name] = min(best.get(name, np.inf), float(ns))


def main():
    rows = np.fromfile(OUT / "rows.f64").reshape(-1, WIDTH)
    theirs = {p.stem: (lightgbm if p.suffix == ".txt" else xgboost)(p, rows) for p in sorted(OUT.glob("*.*")) if p.suffix in (".txt", ".json")}
    best, ours = {}, {}
    for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        verdict(ours)
        for name, call in theirs.items():
            best[name] = min(best.get(name, np.inf), least(call))
    print(f"LightGBM {lgb.__version__}, XGBoost {xgb.__version__}; us a row")
    for name, ns in best.items():
        print(f"{name:12} library {ns / 1e3:9.1f}   verdict {ours[name] / 1e3:7.1f}   ratio {ns / ours[name]:5.1f}")


if __name__ == "__main__":
    main()
