"""The analysis of variance of readers, written from its formulas, one number at a time."""

from __future__ import annotations

import math

from scipy.special import betainc


def mean(values):
    values = list(values)
    return math.fsum(values) / len(values)


def area(scores, positive, left_out=frozenset()):
    """Share of pairs in the right order, ties counting half."""
    wins = pairs = 0
    for one in range(len(scores)):
        for other in range(len(scores)):
            if positive[one] and not positive[other] and not {one, other} & left_out:
                pairs += 1
                wins += 1 if scores[one] > scores[other] else 0.5 * (scores[one] == scores[other])
    return wins / pairs


def recall_mean(right, truth, left_out=frozenset()):
    """Balanced accuracy of right and wrong diagnoses."""
    recalls = []
    for label in sorted(set(truth)):
        own = [right[n] for n in range(len(truth)) if truth[n] == label and n not in left_out]
        recalls.append(mean(own))
    return mean(recalls)


def analysis(metric, ratings, groups, strata=None):
    """F, its degrees of freedom and p, and the parts they are made of.

    Args:
        metric: From the ratings of a reader in an arm, and the numbers of the cases left out.
        ratings: [arm][reader] of such ratings.
        groups: Group of each case.
        strata: Stratum of each group, by name; by default one for all.
    """
    arms, readers = range(len(ratings)), range(len(ratings[0]))
    names = sorted(set(groups))
    theta = [[metric(ratings[i][j], frozenset()) for j in readers] for i in arms]
    without = {
        name: [
            [
                metric(ratings[i][j], frozenset(n for n, of in enumerate(groups) if of == name))
                for j in readers
            ]
            for i in arms
        ]
        for name in names
    }

    def covariance(i, j, k, m):
        total = 0.0
        for stratum in set(strata.values()) if strata else {None}:
            own = [name for name in names if not strata or strata[name] == stratum]
            centre_one = mean(without[name][i][j] for name in own)
            centre_other = mean(without[name][k][m] for name in own)
            products = [
                (without[name][i][j] - centre_one) * (without[name][k][m] - centre_other)
                for name in own
            ]
            total += (len(own) - 1) / len(own) * math.fsum(products)
        return total

    kinds = {"variance": [], "cov1": [], "cov2": [], "cov3": []}
    for i in arms:
        for j in readers:
            for k in arms:
                for m in readers:
                    kind = {
                        (True, True): "variance",
                        (False, True): "cov1",
                        (True, False): "cov2",
                        (False, False): "cov3",
                    }[i == k, j == m]
                    kinds[kind].append(covariance(i, j, k, m))
    parts = {kind: mean(values) for kind, values in kinds.items()}
    t, r = len(ratings), len(ratings[0])
    grand = mean(theta[i][j] for i in arms for j in readers)
    of_arm = [mean(theta[i]) for i in arms]
    of_reader = [mean(theta[i][j] for i in arms) for j in readers]
    parts["ms_arm"] = r * math.fsum((one - grand) ** 2 for one in of_arm) / (t - 1)
    parts["ms_reader"] = t * math.fsum((one - grand) ** 2 for one in of_reader) / (r - 1)
    parts["ms_arm_reader"] = math.fsum(
        (theta[i][j] - of_arm[i] - of_reader[j] + grand) ** 2 for i in arms for j in readers
    ) / ((t - 1) * (r - 1))
    bottom = parts["ms_arm_reader"] + r * max(parts["cov2"] - parts["cov3"], 0)
    parts["f"] = parts["ms_arm"] / bottom
    parts["df2"] = bottom**2 / (parts["ms_arm_reader"] ** 2 / ((t - 1) * (r - 1)))
    # Tail of F as an incomplete beta function.
    x = parts["df2"] / (parts["df2"] + (t - 1) * parts["f"])
    parts["p"] = float(betainc(parts["df2"] / 2, (t - 1) / 2, x))
    parts["error_of_difference"] = math.sqrt(2 / r * bottom)
    parts["arms"] = of_arm
    parts["error_of_arm"] = []
    for i in arms:
        own = math.fsum((theta[i][j] - of_arm[i]) ** 2 for j in readers) / (r - 1)
        shared = mean(covariance(i, j, i, m) for j in readers for m in readers if j != m)
        parts["error_of_arm"].append(math.sqrt((own + r * max(shared, 0)) / r))
    return parts
