"""The tags of a run that the dispatch sensor asked for. A re-execution copies them: they prove nothing."""

JOB_TAG = "narralytica/job_id"
ATTEMPT_TAG = "narralytica/attempt"
