"""The run launcher of `dagster.yaml`: runs go to Celery workers, and *Terminate* really stops them.

Kombu's Postgres transport has no broadcast, so Celery's revoke never arrives. The run's own heartbeat sees that it is
CANCELING and interrupts itself; here that state only has to be reported.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from dagster import StringSource
from dagster import _check as check
from dagster._core.launcher import LaunchRunContext
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import ConfigurableClassData, pack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from dagster_celery.launcher import CeleryRunLauncher

from narralytica_ingest.engine.celery_app import TASK_QUEUE, add_express_queue, app_args

if TYPE_CHECKING:
    from dagster._config import UserConfigSchema


class IngestRunLauncher(CeleryRunLauncher):
    """Launches runs on Celery with the settings of `celery_app`. Configured by two URLs: broker, result backend."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        add_express_queue(self.celery)

    def app_args(self) -> dict[str, Any]:
        """What the workers use, too."""
        return app_args(str(self.broker), str(self.backend))

    def launch_run(self, context: LaunchRunContext) -> None:
        """Sends the run to the workers by the task's name; the base class would register the task at every launch."""
        run = context.dagster_run
        arguments = ExecuteRunArgs(
            job_origin=check.not_none(run.job_code_origin),
            run_id=run.run_id,
            instance_ref=self._instance.get_ref(),
            set_exit_code_on_failure=True,
        )
        task = self.celery.signature(
            TASK_EXECUTE_JOB_NAME, kwargs={"execute_job_args_packed": pack_value(arguments)}, immutable=True
        )
        self._launch_celery_task_run(run, task, TASK_EXECUTE_JOB_NAME)

    def terminate(self, run_id: str) -> bool:
        """Asks the run to stop: its heartbeat sees the state CANCELING within seconds, on whatever machine it is."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        self._instance.report_run_canceling(run)
        return True

    @property
    def supports_resume_run(self) -> bool:
        """A run is never resumed: its job is dispatched again, with a new lease."""
        return False

    @classmethod
    def config_type(cls) -> "UserConfigSchema":
        """`broker` and `backend`, as URLs or `{env: NAME}`."""
        return {"broker": StringSource, "backend": StringSource}

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Made by Dagster from `dagster.yaml`."""
        return cls(default_queue=TASK_QUEUE, inst_data=inst_data, **config_value)
