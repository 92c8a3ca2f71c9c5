"""The files of a sweep's folder, beside the folders of its runs and trunks."""

PLAN, SOURCE = "plan.json", "sweep.yaml"
FORECAST, SCORE, TABLE, CURVES = "forecast.json", "score.json", "runs.parquet", "curves.parquet"
SUMMARY, REPORT = "summary.json", "report.html"
# Of several contenders, in the folder above theirs.
COMPARISON, COMPARISON_SCORE = "comparison.json", "comparison_score.json"
# Of a sweep with mixtures, in place of the forecast and its score.
CHOICE, CHOICE_SCORE = "choice.json", "choice_score.json"
REWARDS, SAMPLES = "rewards.parquet", "samples.json"
# Why a stage has no forecast of its target, in place of one.
REFUSED = "refused.json"
# What is made from a sweep's runs: no longer true of another sweep.
RESULTS = (FORECAST, SCORE, TABLE, CURVES, SUMMARY, REPORT, REWARDS, SAMPLES, REFUSED, CHOICE, CHOICE_SCORE)
