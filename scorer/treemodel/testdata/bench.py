"""Times one row at a time and batches of 1,000, single thread: verdict and leaves (Go), and what pip has of LightGBM, XGBoost, ONNX Runtime and tl2cgen.

    python3 -m venv venv && venv/bin/pip install lightgbm xgboost numpy [onnxruntime onnxmltools skl2onnx] [treelite tl2cgen]
    venv/bin/python bench.py [--turns 5] [--models] [--compile] [--only 100x31]

With --models it only makes the models, in testdata/bench, which git ignores; `go test -bench AgainstLeaves` measures those too. The engines take turns, and
the least of each engine's turns counts. LightGBM, XGBoost and tl2cgen are called from C (a small program compiled here, so that Python's calls are not
measured), ONNX Runtime from Python: its figures have that call in them. tl2cgen compiles a large model for minutes, and so only with --compile.
"""
import argparse
import ctypes.util
import importlib.util
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = pathlib.Path(__file__).parent
OUT = HERE / "bench"
MODELS = {"100x31": (100, 31), "500x63": (500, 63)}
ROWS = 20_000


def rows(n, seed):
    """15 features like those of the Handbook: an amount, two flags, counts and means of a customer, counts and risks of a terminal."""
    rng = np.random.default_rng(seed)
    base = rng.lognormal(3.5, 0.8, n)
    columns = [np.round(base, 2), rng.integers(0, 2, n).astype(float), (rng.random(n) < 0.28).astype(float)]
    for days in (1, 7, 30):
        count = rng.poisson(2.0 * days, n).astype(float)
        columns += [count, np.where(count > 0, np.round(base * rng.lognormal(0, 0.4, n), 4), np.nan)]
    for days in (1, 7, 30):
        count = rng.poisson(1.5 * days, n).astype(float)
        columns += [count, np.where(count > 0, np.round(rng.binomial(np.maximum(count, 1).astype(int), 0.02) / np.maximum(count, 1), 6), np.nan)]
    return np.ascontiguousarray(np.column_stack(columns))


def make():
    import lightgbm as lgb

    OUT.mkdir(exist_ok=True)
    x = rows(100_000, 1)
    z = np.nan_to_num(x)
    rng = np.random.default_rng(2)
    y = (0.01 * z[:, 0] + 4 * z[:, 10] + 0.2 * np.sin(z[:, 5]) * z[:, 3] + 0.01 * z[:, 4] * z[:, 1] + rng.normal(0, 1.5, len(x)) > 2.5).astype(float)
    for name, (trees, leaves) in MODELS.items():
        params = {"objective": "binary", "num_leaves": leaves, "learning_rate": 0.05, "min_data_in_leaf": 20, "verbosity": -1, "num_threads": 2, "deterministic": True, "seed": 7}
        lgb.train(params, lgb.Dataset(x, y), num_boost_round=trees).save_model(OUT / f"{name}.txt", num_iteration=trees)
    rows(ROWS, 3).tofile(OUT / "rows.f64")
    if importlib.util.find_spec("xgboost"):
        import xgboost as xgb

        for name, (trees, depth) in {"xgb100d6": (100, 6), "xgb500d8": (500, 8)}.items():
            params = {"objective": "binary:logistic", "max_depth": depth, "eta": 0.05, "tree_method": "hist", "nthread": 2, "seed": 7}
            xgb.train(params, xgb.DMatrix(x, label=y), num_boost_round=trees).save_model(OUT / f"{name}.json")


C = r"""
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#define WIDTH 15
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
static void *need(void *lib, const char *name) { void *f = lib ? dlsym(lib, name) : 0; if (!f) { fprintf(stderr, "%s: %s\n", name, dlerror()); exit(1); } return f; }
union entry { int missing; double value; };
#define ROWS 20000
static double rows[ROWS * WIDTH], out[ROWS];
static float singles[ROWS * WIDTH];

static void *lib, *booster, *fast;
static int (*lgb_single)(void *, const double *, long long *, double *);
static int (*lgb_batch)(void *, const void *, int, int, int, int, int, int, int, const char *, long long *, double *);
static void lgb_one(int i) { long long n; lgb_single(fast, rows + i * WIDTH, &n, out + i); }
static void lgb_all(int from) { long long n; lgb_batch(booster, rows + from * WIDTH, 1, 1000, WIDTH, 1, 1, 0, -1, "num_threads=1", &n, out); }

typedef unsigned long long u64;
static int (*xgb_dense)(void *, const char *, const char *, void *, const u64 **, u64 *, const float **);
static void xgb_do(int from, int n) {
  char values[200]; const u64 *shape; u64 dim; const float *result;
  snprintf(values, sizeof values, "{\"data\":[%llu,true],\"shape\":[%d,%d],\"typestr\":\"<f4\",\"version\":3}", (u64)(singles + from * WIDTH), n, WIDTH);
  xgb_dense(booster, values, "{\"type\":1,\"training\":false,\"iteration_begin\":0,\"iteration_end\":0,\"strict_shape\":false,\"missing\":NaN}", 0, &shape, &dim, &result);
}
static void xgb_one(int i) { xgb_do(i, 1); }
static void xgb_all(int from) { xgb_do(from, 1000); }

static void (*tl_predict)(union entry *, int, double *);
static void tl_one(int i) {
  union entry e[WIDTH];
  for (int j = 0; j < WIDTH; j++) { double x = rows[i * WIDTH + j]; if (isnan(x)) e[j].missing = -1; else e[j].value = x; }
  tl_predict(e, 1, out + i);
}
static void tl_all(int from) { for (int i = from; i < from + 1000; i++) tl_one(i); }

int main(int argc, char **argv) {
  const char *kind = argv[1], *path = argv[2], *model = argv[3];
  FILE *f = fopen(argv[4], "rb");
  if (!f || fread(rows, sizeof(double), ROWS * WIDTH, f) != ROWS * WIDTH) return 1;
  for (int i = 0; i < ROWS * WIDTH; i++) singles[i] = (float)rows[i];
  void (*one)(int) = 0, (*all)(int) = 0;
  lib = dlopen(path, RTLD_NOW);
  if (!strcmp(kind, "lightgbm")) {
    int n;
    int (*load)(const char *, int *, void **) = need(lib, "LGBM_BoosterCreateFromModelfile");
    int (*init)(void *, int, int, int, int, int, const char *, void **) = need(lib, "LGBM_BoosterPredictForMatSingleRowFastInit");
    lgb_single = need(lib, "LGBM_BoosterPredictForMatSingleRowFast");
    lgb_batch = need(lib, "LGBM_BoosterPredictForMat");
    if (load(model, &n, &booster) || init(booster, 1, 0, -1, 1, WIDTH, "num_threads=1", &fast)) return 1;
    one = lgb_one; all = lgb_all;
  } else if (!strcmp(kind, "xgboost")) {
    int (*create)(const void *, u64, void **) = need(lib, "XGBoosterCreate");
    int (*load)(void *, const char *) = need(lib, "XGBoosterLoadModel");
    int (*set)(void *, const char *, const char *) = need(lib, "XGBoosterSetParam");
    xgb_dense = need(lib, "XGBoosterPredictFromDense");
    if (create(0, 0, &booster) || load(booster, model) || set(booster, "nthread", "1")) return 1;
    one = xgb_one; all = xgb_all;
  } else {
    tl_predict = need(lib, "predict");
    one = tl_one; all = tl_all;
  }
  double single = 1e18, batch = 1e18, end = now() + 5e8;
  for (int from = 0; now() < end; from = (from + 1000) % ROWS) {
    double t = now();
    for (int i = from; i < from + 200; i++) one(i);
    t = (now() - t) / 200;
    if (t < single) single = t;
    t = now();
    all(from);
    t = (now() - t) / 1000;
    if (t < batch) batch = t;
  }
  printf("%f %f\n", single, batch);
}
"""


def library(package, pattern):
    spec = importlib.util.find_spec(package)
    found = sorted(pathlib.Path(spec.origin).parent.rglob(pattern)) if spec else []
    return found[0] if found else None


class FromC:
    """An engine that the C program drives."""

    def __init__(self, program, kind, path, model):
        self.command = [program, kind, path, model, OUT / "rows.f64"]

    def turn(self):
        done = subprocess.run([str(c) for c in self.command], check=True, capture_output=True, text=True)
        return dict(zip(("single", "batch"), map(float, done.stdout.split())))


class Onnx:
    def __init__(self, model):
        import onnxruntime as ort
        from onnxmltools.convert import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType
        import lightgbm as lgb

        onnx = convert_lightgbm(lgb.Booster(model_file=model), initial_types=[("x", FloatTensorType([None, 15]))], zipmap=False)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self.session = ort.InferenceSession(onnx.SerializeToString(), options, providers=["CPUExecutionProvider"])
        self.output = [self.session.get_outputs()[-1].name]
        self.rows = np.fromfile(OUT / "rows.f64").reshape(ROWS, 15).astype(np.float32)
        self.alone = [{"x": self.rows[i : i + 1]} for i in range(ROWS)]

    def turn(self):
        least = {"single": 1e18, "batch": 1e18}
        end = time.perf_counter() + 0.5
        at = 0
        while time.perf_counter() < end:
            t = time.perf_counter_ns()
            for row in self.alone[at : at + 200]:
                self.session.run(self.output, row)
            least["single"] = min(least["single"], (time.perf_counter_ns() - t) / 200)
            t = time.perf_counter_ns()
            self.session.run(self.output, {"x": self.rows[at : at + 1000]})
            least["batch"] = min(least["batch"], (time.perf_counter_ns() - t) / 1000)
            at = (at + 1000) % ROWS
        return least


class Go:
    """verdict and leaves, from the package's own benchmark."""

    def __init__(self, program, name):
        self.command = [str(program), "-test.run", "^$", "-test.bench", f"AgainstLeaves/{name}$", "-test.benchtime", "0.5s"]

    def turn(self):
        done = subprocess.run(self.command, check=True, capture_output=True, text=True, cwd=HERE.parent)
        return {key: float(value) for value, key in re.findall(r"([\d.]+) ([a-z-]+)-ns/row", done.stdout)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--models", action="store_true", help="only make the models")
    parser.add_argument("--compile", action="store_true", help="with tl2cgen")
    parser.add_argument("--only", default="", help="this model alone")
    arguments = parser.parse_args()
    if not (OUT / "rows.f64").exists() or arguments.models:
        make()
    if arguments.models:
        return
    if OUT.joinpath("rows.f64").stat().st_size != ROWS * 15 * 8:
        sys.exit("testdata/bench is of another bench.py: delete it")
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "bench.c").write_text(C)
        subprocess.run(["cc", "-O2", "-o", folder / "bench", folder / "bench.c", "-ldl", "-lm"], check=True)
        subprocess.run(["go", "test", "-c", "-o", folder / "bench.test", "."], check=True, cwd=HERE.parent)
        for name in sorted(p.stem for p in OUT.glob("*.txt")) + sorted(p.stem for p in OUT.glob("*.json")):
            if arguments.only in ("", name):
                measure(name, folder, arguments.turns, arguments.compile)


def compiled(model, folder):
    import tl2cgen
    import treelite

    loaded = treelite.frontend.load_lightgbm_model(model) if model.suffix == ".txt" else treelite.frontend.load_xgboost_model(model)
    path = folder / f"{model.stem}.so"
    tl2cgen.export_lib(loaded, toolchain="gcc", libpath=str(path), params={"parallel_comp": 8}, nthread=2)
    return path


def measure(name, folder, turns, compile):
    model = next(OUT.glob(f"{name}.[tj]*"))
    engines = {"go": Go(folder / "bench.test", name)}
    if model.suffix == ".txt":
        engines["LightGBM C API"] = FromC(folder / "bench", "lightgbm", library("lightgbm", "lib_lightgbm.so"), model)
        try:
            engines["ONNX Runtime (Python)"] = Onnx(model)
        except ImportError as e:
            print(f"without ONNX Runtime: {e}", file=sys.stderr)
    elif library("xgboost", "libxgboost.so"):
        engines["XGBoost C API"] = FromC(folder / "bench", "xgboost", library("xgboost", "libxgboost.so"), model)
    if compile:
        engines["tl2cgen"] = FromC(folder / "bench", "tl2cgen", compiled(model, folder), model)
    table = {}
    for _ in range(turns):
        for engine, runner in engines.items():
            for key, value in runner.turn().items():
                who, _, what = ("leaves (Go)", "", key.removeprefix("leaves-")) if key.startswith("leaves-") else (engine, "", key)
                if who == "go":
                    who, what = ("verdict, plain kernel", "batch") if key == "plain" else ("verdict (Go)", key)
                cell = table.setdefault(who, {})
                cell[what] = min(cell.get(what, 1e18), value)
    ours = table["verdict (Go)"]
    print(f"\n{name}: ns a row, least of {turns} turns; in brackets, times verdict's")
    print(f"{'':24} {'one row':>18} {'batch of 1,000':>18}")
    for who, cells in table.items():
        text = [f"{cells[c]:8.0f} ({cells[c] / ours[c]:6.1f})" if c in cells else "" for c in ("single", "batch")]
        print(f"{who:24} {text[0]:>18} {text[1]:>18}", flush=True)


if __name__ == "__main__":
    main()
