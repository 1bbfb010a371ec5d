"""How runs execute: Celery workers with the definitions preloaded, and what keeps a run alive and stoppable."""
