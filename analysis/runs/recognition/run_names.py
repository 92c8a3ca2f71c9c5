"""Which column names the run that each row of a step log belongs to."""

import pandas as pd

# Names, as ``normalised`` gives them, by which tools and people know a run.
RUN_COLUMNS = (
    *("run_id", "run_name", "run_uuid", "name", "display_name", "experiment_name", "experiment", "exp_name", "exp"),
    *("trial_id", "trial_name", "trial", "job_id", "job_name", "job", "uuid", "id"),
)
UNSURE = frozenset(["name", "display_name", "id"])  # these may as well name a size
_MOST_AGAIN = 0.05
LONG_RUN = 10  # rows; so many lengths of one size are seldom trained


def names_runs(runs: pd.Series, params: pd.Series, tokens: pd.Series, least: int = LONG_RUN) -> bool:
    """Whether the values of a column repeat as the names of runs do: over points of one size along the tokens.

    Args:
        runs: the column.
        params: of each row.
        tokens: of each row.
        least: the median number of rows of a run.
    """
    if runs.isna().any():
        return False
    groups = runs.groupby(runs, observed=True, sort=False)
    rows = groups.transform("size")
    if rows.groupby(runs, observed=True).first().median() < least:
        return False
    one_size = params.groupby(runs, observed=True, sort=False).nunique().max() <= 1
    again = pd.DataFrame({"run": runs, "tokens": tokens}).duplicated().mean()  # a run that resumed logs some twice
    return bool(one_size and again < _MOST_AGAIN)
