#!/usr/bin/env python3
"""Records known answers of scikit-learn and scipy for metrics and the logistic probe as numeric.h.

Run inside the environment of tests/live/make_venv.sh:  python tests/golden/record_numeric.py
"""
import pathlib
import warnings

import numpy as np
import scipy
import scipy.optimize
import scipy.special
import scipy.stats
import sklearn
from sklearn import metrics
from sklearn.linear_model import LogisticRegression

HERE = pathlib.Path(__file__).resolve().parent


def c_array(kind, name, values, dims=""):
    flat = np.asarray(values).ravel()
    dims = dims or f"[{flat.size}]"
    text = [str(int(v)) if kind == "int32_t" else repr(float(np.float32(v))) + "f" if kind == "float"
            else repr(float(v)) for v in flat]
    rows = ["    " + ", ".join(text[i:i + 6]) + "," for i in range(0, len(text), 6)]
    return "\n".join([f"static const {kind} {name}{dims} = {{", *rows, "};"])


def c_number(name, value):
    return f"static const double {name} = {float(value)!r};"


def classification(rng):
    out = []
    for name, n, classes, noise in (("binary", 60, 2, 0.3), ("three", 80, 3, 0.4)):
        truth = rng.choice(classes, n, p=[0.7, 0.3] if classes == 2 else [0.6, 0.3, 0.1])
        guess = np.where(rng.random(n) < noise, rng.integers(0, classes, n), truth)
        out += [f"/* {name}: labels and predictions of {classes} classes. */",
                c_array("int32_t", f"numeric_{name}_labels", truth),
                c_array("int32_t", f"numeric_{name}_predictions", guess),
                c_number(f"numeric_{name}_accuracy", metrics.accuracy_score(truth, guess)),
                c_number(f"numeric_{name}_f1_macro", metrics.f1_score(truth, guess, average="macro")),
                c_number(f"numeric_{name}_matthews", metrics.matthews_corrcoef(truth, guess))]
        if classes == 2:
            out.append(c_number(f"numeric_{name}_f1_positive", metrics.f1_score(truth, guess)))
    # A class that is never predicted and one that never occurs; constant predictions.
    truth, guess = [0, 0, 1, 1, 2, 2], [0, 0, 1, 3, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out += ["/* gaps: class 2 is never predicted, class 3 never occurs: F1 of either is 0 (zero_division=0) and"
                " both count in the mean, which runs over the classes\n * that occur in the labels or in the predictions. */",
                c_array("int32_t", "numeric_gaps_labels", truth), c_array("int32_t", "numeric_gaps_predictions", guess),
                c_number("numeric_gaps_f1_macro", metrics.f1_score(truth, guess, average="macro", zero_division=0)),
                c_number("numeric_gaps_matthews", metrics.matthews_corrcoef(truth, guess)),
                "/* constant: every prediction is class 0, Matthews is 0 by convention. */",
                c_number("numeric_constant_matthews", metrics.matthews_corrcoef(truth, [0] * 6))]
    return out


def correlation(rng):
    x = np.round(rng.normal(size=50), 1).astype(np.float32)  # rounding makes ties
    y = np.round(0.6 * x + rng.normal(size=50), 1).astype(np.float32)
    assert len(set(x)) < 50 and len(set(y)) < 50
    return ["/* Pearson and Spearman (tied values share the mean rank). */",
            c_array("float", "numeric_corr_x", x), c_array("float", "numeric_corr_y", y),
            c_number("numeric_corr_pearson", scipy.stats.pearsonr(x.astype(float), y.astype(float)).statistic),
            c_number("numeric_corr_spearman", scipy.stats.spearmanr(x, y).statistic)]


def logistic(rng):
    n, d, classes, c = 40, 5, 3, 0.7
    x = rng.normal(size=(n, d)).astype(np.float32)
    x[:, 1] = 3 * x[:, 1] + 1  # features of different size
    true = rng.normal(size=(d, classes))
    y = (x @ true + 1.5 * rng.gumbel(size=(n, classes))).argmax(1)
    model = LogisticRegression(C=c, solver="newton-cg", tol=1e-12, max_iter=10000).fit(x.astype(float), y)
    weights, bias = model.coef_, model.intercept_

    def objective(theta):
        w, b = theta[:classes * d].reshape(classes, d), theta[classes * d:]
        logp = scipy.special.log_softmax(x.astype(float) @ w.T + b, axis=1)
        return -c * logp[np.arange(n), y].sum() + 0.5 * (w ** 2).sum()

    theta = np.concatenate([weights.ravel(), bias])
    # The same optimum by another method; the bias is only fixed up to a constant added to all classes.
    other = scipy.optimize.minimize(objective, np.zeros_like(theta), method="BFGS", options=dict(gtol=1e-9)).x
    bias = bias - bias.mean()
    other_bias = other[classes * d:] - other[classes * d:].mean()
    assert np.abs(other[:classes * d] - weights.ravel()).max() < 1e-6 and np.abs(other_bias - bias).max() < 1e-6
    logp = scipy.special.log_softmax(x.astype(float) @ weights.T + bias, axis=1)
    return [f"/* Multinomial logistic regression, {n} rows of {d} features, {classes} classes: the minimum of",
            " *     C * sum_i -log p(y_i | x_i) + 1/2 ||W||^2        (bias not penalised)",
            " * W is [classes][features]; the bias is given with mean 0, since a constant added to all of it changes",
            " * nothing. loss is the objective, mean_log_loss the mean of -log p. */",
            c_number("numeric_logistic_c", c),
            c_array("float", "numeric_logistic_x", x, f"[{n * d}]"), c_array("int32_t", "numeric_logistic_y", y),
            c_array("double", "numeric_logistic_weights", weights, f"[{classes * d}]"),
            c_array("double", "numeric_logistic_bias", bias),
            c_number("numeric_logistic_loss", objective(theta)),
            c_number("numeric_logistic_mean_log_loss", -logp[np.arange(n), y].mean()),
            c_number("numeric_logistic_accuracy", (logp.argmax(1) == y).mean())]


def main():
    rng = np.random.default_rng(20)
    parts = [f"/* Known answers of scikit-learn {sklearn.__version__} and scipy {scipy.__version__}, by"
             " record_numeric.py. Generated: see README.md. */",
             "/* clang-format off */", "#ifndef WEFT_TESTS_GOLDEN_NUMERIC_H", "#define WEFT_TESTS_GOLDEN_NUMERIC_H", "",
             "#include <stdint.h>", "", *classification(rng), "", *correlation(rng), "", *logistic(rng), "", "#endif", ""]
    (HERE / "numeric.h").write_text("\n".join(parts))


if __name__ == "__main__":
    main()
