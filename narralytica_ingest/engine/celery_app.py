"""The Celery settings that launcher and workers share."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

TASK_QUEUE = "dagster"
EXPRESS_QUEUE = "express"  # see lanes.py


def app_args(broker_url: str, result_backend_url: str) -> dict[str, Any]:
    """Arguments for dagster-celery's `make_app`.

    A task is acknowledged when it starts and never redelivered by the broker: the job table's heartbeat is what brings
    back lost work, on every broker alike. One task is prefetched, so that a queued run goes to the first free worker.
    """
    return {
        "broker": broker_url,
        "backend": result_backend_url,
        "config_source": {
            "worker_prefetch_multiplier": 1,
            "task_acks_late": False,
            "task_default_queue": TASK_QUEUE,
            "worker_hijack_root_logger": False,
            "worker_redirect_stdouts": False,  # Dagster's lines carry a time and a run already
            "worker_cancel_long_running_tasks_on_connection_loss": False,
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": transport_options(broker_url),
            "result_expires": 86400,
        },
    }


def add_express_queue(app: "Celery") -> None:
    """Beside the queue that dagster-celery makes, one of the same kind. Launcher and workers both need it: a message
    for a queue that its sender does not know in this way is lost without a word."""
    from kombu.entity import Queue

    arguments = {"x-max-priority": app.conf.task_queue_max_priority}
    express = Queue(  # type: ignore[no-untyped-call]
        EXPRESS_QUEUE, routing_key=f"{EXPRESS_QUEUE}.#", queue_arguments=arguments
    )
    app.conf.task_queues = [*app.conf.task_queues, express]


def transport_options(broker_url: str) -> dict[str, Any]:
    """Redis would deliver an unacknowledged task again after an hour; Postgres and RabbitMQ take no such option."""
    return {"visibility_timeout": 7 * 86400} if broker_url.startswith(("redis", "rediss")) else {}
